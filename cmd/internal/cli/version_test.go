package cli

import (
	"runtime/debug"
	"testing"
)

func TestDescribeBuild(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	for want, b := range map[string]*debug.BuildInfo{
		"unknown":                         nil,
		"unreleased":                      build("(devel)"),
		"v1.2.3":                          build("v1.2.3", commit),
		"unreleased, commit 0123456789ab": build("(devel)", commit, debug.BuildSetting{Key: "vcs.modified", Value: "false"}),
		"unreleased, commit 0123456789ab, changed": build("", commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}),
	} {
		if got := describeBuild(b); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
