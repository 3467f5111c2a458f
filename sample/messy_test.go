package sample

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// wanted are the kinds that every messy file must have.
func wanted(file int) Planted {
	repairs := []string{KindHeader, KindEmptyLine, KindCRLF, KindBlankPadding}
	rejects := []string{KindBadID, KindMissingField, KindExtraField, KindInvalidUTF8, KindNULByte, KindDuplicateID, KindLineTooLong}
	var warnings []string
	if file != products {
		rejects = append(rejects, KindOrphan, KindOrphanOfRejected)
	}
	switch file {
	case products:
		repairs = append(repairs, KindStrayQuote, KindPriceDecoration, KindThousandsComma)
		rejects = append(rejects, KindBadPrice, KindAmbiguousPrice)
	case features:
		repairs = append(repairs, KindQuotedNull, KindUnclosedQuote, KindStrayQuote, KindMissingField)
	case styles:
		repairs = append(repairs, KindZeroSalePrice, KindStrayQuote, KindPriceDecoration, KindThousandsComma, KindMissingField, KindExtraField)
		rejects = append(rejects, KindBadPrice, KindAmbiguousPrice, KindBadDefaultStyle)
	case related:
		rejects = append(rejects, KindDanglingRelated)
	case photos:
		repairs = append(repairs, KindUnclosedQuote, KindStrayQuote)
		warnings = append(warnings, KindMalformedURL)
	case skus:
		repairs = append(repairs, KindExtraField)
		rejects = append(rejects, KindBadQuantity)
	}
	var p Planted
	for c, kinds := range map[class][]string{repair: repairs, reject: rejects, warning: warnings} {
		for _, kind := range kinds {
			p.add(c, kind, 0)
		}
	}
	return p
}

func TestEveryDefectIsPlanted(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 1 << 63} {
		_, summary := generate(t, Options{Products: 200, Seed: seed, Edition: Messy})
		for f := range numFiles {
			got, want := summary.Files[fileName(f)], wanted(f)
			boms := got.Repairs[KindBOM]
			delete(got.Repairs, KindBOM)
			if wantBOM := 1 - int64((seed+uint64(f))%2); boms != wantBOM {
				t.Errorf("seed %d, %s: %d byte-order marks, want %d", seed, fileName(f), boms, wantBOM)
			}
			for what, kinds := range map[string][2]map[string]int64{
				"repairs": {got.Repairs, want.Repairs}, "rejects": {got.Rejects, want.Rejects}, "warnings": {got.Warnings, want.Warnings},
			} {
				if a, b := slices.Sorted(maps.Keys(kinds[0])), slices.Sorted(maps.Keys(kinds[1])); !slices.Equal(a, b) {
					t.Errorf("seed %d, %s: %s of kinds\n%v, want\n%v", seed, fileName(f), what, a, b)
				}
			}
		}
	}
}

// split cuts a file at its LFs, each line with its line end.
func split(b []byte) (lines [][]byte) {
	for line := range bytes.Lines(b) {
		lines = append(lines, line)
	}
	return lines
}

// rejectedBy finds, with a reading of its own, the rejects that can be found
// without telling repairs from rejects: lines too long, NUL bytes and bytes
// that are no UTF-8.
func rejectedBy(lines [][]byte) map[string]int64 {
	found := map[string]int64{}
	for _, line := range lines[1:] {
		switch {
		case len(bytes.TrimRight(line, "\r\n")) > 1<<20:
			found[KindLineTooLong]++
		case bytes.IndexByte(line, 0) >= 0:
			found[KindNULByte]++
		case !utf8.Valid(line):
			found[KindInvalidUTF8]++
		}
	}
	return found
}

// TestCounts holds the summary against counters that know nothing of how
// defects are planted.
func TestCounts(t *testing.T) {
	files, summary := generate(t, Options{Products: 2000, Seed: 11, Edition: Messy})
	for _, difference := range differences(files, summary) {
		t.Error(difference)
	}
	for name, line := range map[string]string{
		"product.csv": "\n\n",
		"related.csv": "\n999999,1,0",
		"skus.csv":    "\n999999,1,\"\xff\",7",
	} {
		spoilt := maps.Clone(files)
		spoilt[name] = slices.Concat(files[name], []byte(line))
		if differences(spoilt, summary) == nil {
			t.Errorf("%s with %q added: the counters find nothing", name, line)
		}
	}
}

func differences(files map[string][]byte, summary *Summary) (found []string) {
	differ := func(name, what string, got, want int64) {
		if got != want {
			found = append(found, fmt.Sprintf("%s: %d of %s in the file, %d in the summary", name, got, what, want))
		}
	}
	for f := range numFiles {
		name := fileName(f)
		want := summary.Files[name]
		lines := split(files[name])
		data, empty, crlf := int64(0), int64(0), int64(0)
		for _, line := range lines[1:] {
			if len(bytes.TrimRight(line, "\r\n")) == 0 {
				empty++
			} else {
				data++
			}
			if bytes.HasSuffix(line, []byte("\r\n")) {
				crlf++
			}
		}
		differ(name, "data lines", data, want.Rows)
		differ(name, KindEmptyLine, empty, want.Repairs[KindEmptyLine])
		// Lines that end in CRLF may be rejected, so this is a bound.
		if crlf < want.Repairs[KindCRLF] || want.Repairs[KindCRLF] < crlf/3 {
			differ(name, KindCRLF, crlf, want.Repairs[KindCRLF])
		}
		for kind, n := range rejectedBy(lines) {
			differ(name, kind, n, want.Rejects[kind])
		}
	}
	for kind, n := range relatedRejects(files) {
		differ("related.csv", kind, n, summary.Files["related.csv"].Rejects[kind])
	}
	return found
}

// relatedRejects judges all of related.csv: it has numbers only, so a few
// lines can.
func relatedRejects(files map[string][]byte) map[string]int64 {
	loaded, failed := loadedProducts(files["product.csv"])
	found := map[string]int64{}
	seen := map[string]bool{}
	for _, line := range split(files["related.csv"])[1:] {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" || len(text) > 1<<20 || strings.Contains(text, "\x00") || !utf8.ValidString(text) {
			continue
		}
		fields := strings.Split(strings.ReplaceAll(text, " ", ""), ",")
		switch {
		case len(fields) < 3:
			found[KindMissingField]++
		case len(fields) > 3:
			found[KindExtraField]++
		case !isID(fields[0]) || !isID(fields[1]) || !isID(fields[2]) && fields[2] != "0":
			found[KindBadID]++
		case seen[fields[0]]:
			found[KindDuplicateID]++
		case failed[fields[1]]:
			found[KindOrphanOfRejected]++
		case !loaded[fields[1]]:
			found[KindOrphan]++
		case !loaded[fields[2]]:
			found[KindDanglingRelated]++
		default:
			seen[fields[0]] = true
		}
	}
	return found
}

func isID(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0
}

// loadedProducts judges products by a pattern that takes repairs in.
func loadedProducts(b []byte) (loaded, failed map[string]bool) {
	loaded, failed = map[string]bool{}, map[string]bool{}
	good := regexp.MustCompile(`^\d+(, *".*"){4},("?( \$ |default_price: |\$| )?(\d{1,10}|\d{1,3}(,\d{3})+)(\.\d\d)? ?"?)\r?\n?$`)
	for _, line := range split(b)[1:] {
		if len(bytes.TrimSpace(line)) == 0 || len(line) > 1<<20 {
			continue
		}
		id, _, _ := strings.Cut(string(line), ",")
		switch {
		case !isID(id):
		case good.Match(line) && utf8.Valid(line) && bytes.IndexByte(line, 0) < 0:
			loaded[id] = true
		default:
			failed[id] = true
		}
	}
	return loaded, failed
}

// odd says whether a line differs from the lines of a clean file. Rows that
// are wrong only beside others (orphans, duplicates) pass for clean.
func odd(file int, line []byte) bool {
	const text = `"([^"\\ ]|[^"\\ ]([^"\\]|"")*[^"\\ ]|"".*[^"\\ ])"`
	pattern := [numFiles]string{
		`\d{1,9}(,"([^"\\]|"")*"){4},\d+(\.\d\d)?`,
		`\d{1,9},\d{1,9},` + text + `,(null|` + text + `)`,
		`\d{1,9},\d{1,9},` + text + `,(null|[1-9]\d*(\.\d\d)?),\d+(\.\d\d)?,[01]`,
		`\d{1,9},\d{1,9},[1-9]\d{0,8}`,
		`\d{1,9},\d{1,9}(,"https://[-a-z0-9./?=&A-Z_]+"){2}`,
		`\d{1,9},\d{1,9},` + text + `,\d{1,9}`,
	}[file]
	return !utf8.Valid(line) || !regexp.MustCompile(`^`+pattern+`\n?$`).Match(line)
}

func TestPlaces(t *testing.T) {
	var first, last, across, splits [numFiles]int
	for seed := range uint64(6) {
		files, _ := generate(t, Options{Products: 4000, Seed: seed, Edition: Messy})
		clean, _ := generate(t, Options{Products: 4000, Seed: seed})
		for f := range numFiles {
			if line := split(clean[fileName(f)])[1]; odd(f, line) {
				t.Fatalf("the test takes a clean line for odd: %s", line)
			}
			b := files[fileName(f)]
			lines := split(b)
			if odd(f, lines[1]) {
				first[f]++
			}
			if odd(f, lines[len(lines)-1]) {
				last[f]++
			}
			off := 0
			for _, line := range lines {
				end := off + len(line)
				edge := (off>>16 + 1) << 16
				if off > 0 && edge < end && len(line) < 1<<20 && odd(f, line) {
					across[f]++
				}
				if off > 0 && edge == end-1 && bytes.HasSuffix(line, []byte("\r\n")) {
					splits[f]++
				}
				off = end
			}
		}
	}
	for f := range numFiles {
		// Half of the rest are orphans and duplicates, which look clean.
		if first[f] < 3 || last[f] < 3 {
			t.Errorf("%s: of 6 first lines %d are odd, of 6 last ones %d", fileName(f), first[f], last[f])
		}
		if across[f] < 2 {
			t.Errorf("%s: %d odd lines lie across a boundary", fileName(f), across[f])
		}
	}
	if total := splits[products] + splits[photos] + splits[skus]; total < 3 {
		t.Errorf("%d boundaries between CR and LF", total)
	}
}

// Repairs are planted so that the clean catalogue shows through: every clean
// row of a file without text is still there, but for the rows that its
// parent's reject takes along.
func TestMessyHoldsTheCleanCatalogue(t *testing.T) {
	clean, _ := generate(t, Options{Products: 2000, Seed: 5})
	messy, _ := generate(t, Options{Products: 2000, Seed: 5, Edition: Messy})
	for _, f := range []int{related, skus} {
		have := map[string]bool{}
		for _, line := range split(messy[fileName(f)])[1:] {
			have[plain(line)] = true
		}
		for _, line := range split(clean[fileName(f)])[1:] {
			if !have[plain(line)] {
				t.Fatalf("%s: the messy edition lacks %s", fileName(f), line)
			}
		}
	}
}

func plain(line []byte) string {
	return strings.NewReplacer(" ", "", `"`, "", "\r", "", "\n", "").Replace(string(line))
}

func TestBothCountsOnlyTheReject(t *testing.T) {
	bad := rejects(KindBadPrice, badPrice)
	crlf := repairs(KindCRLF, endCRLF)
	blanks := repairs(KindBlankPadding, padBlanks)
	if got := both(bad, crlf).kinds; !slices.Equal(got, []string{KindBadPrice}) {
		t.Errorf("a reject and a repair count as %v", got)
	}
	if got := both(blanks, crlf).kinds; !slices.Equal(got, []string{KindBlankPadding, KindCRLF}) {
		t.Errorf("two repairs count as %v", got)
	}
}
