package sample
import ("maps";"slices";"testing")
func TestZEveryDefectIsPlanted(t *testing.T) {
	for _, seed := range slices.Collect(func(y func(uint64) bool){for i:=range uint64(150){if !y(i*7919){return}}}) {
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

