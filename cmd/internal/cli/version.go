package cli

import (
	"runtime"
	"runtime/debug"
)

// version is the version of the module, or else the commit, as the go command
// has put it into the program; and what it was built by and for.
func version() string {
	build, _ := debug.ReadBuildInfo()
	return describeBuild(build) + " (" + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}

func describeBuild(build *debug.BuildInfo) string {
	if build == nil {
		return "unknown"
	}
	// Between releases it has the commit in it already.
	if build.Main.Version != "" && build.Main.Version != "(devel)" {
		return build.Main.Version
	}
	commit, changed := "", ""
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if commit == "" {
		return "unreleased"
	}
	return "unreleased, commit " + commit + changed
}
