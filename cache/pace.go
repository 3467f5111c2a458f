package cache

import "github.com/hotshelf/hotshelf/blob"

// How many products wait and travel together follows from what look-ups have
// taken.
const (
	// batchBytes bounds a look-up as maxBatch does: of rows longer than 8 KiB fewer
	// travel together.
	batchBytes = 4 << 20
	// fairBatch: beside others, a look-up takes its share of all that wait, or so
	// many. One that took them all would take long, and the few callers left for
	// the others would keep PostgreSQL busy with single rows: on one CPU, 61 of 64
	// waited for up to a second, and fewer were answered in all.
	fairBatch = 16
	// maxWaiting is how many products may wait to travel at most: as many as a
	// database that answers ten thousand a second takes 0.4 s for.
	maxWaiting = 4096
	// waitShare of the time limit of a miss is what its wait to travel may take,
	// and its travel as much again. How many may wait follows from that (room): a
	// look-up that comes too late for whoever waited is work lost, and where there
	// is too much to do, soon all of them are.
	waitShare = 3
	// leastWaiting keeps a database going that only takes long for the first.
	leastWaiting = 32 * maxRoundTrips
)

// batch is how many travel together at most. The mutex is held.
func (f *flights) batch() int {
	return max(min(maxBatch, batchBytes/max(f.rowBytes, 1), f.room/maxRoundTrips), 1)
}

// makeRoom adapts how many may wait to how long so many have travelled.
func (f *flights) makeRoom(travelled int, took int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	room := min(int64(travelled)*maxRoundTrips*int64(f.limit/waitShare)/max(took, 1), maxWaiting)
	switch {
	case room > int64(f.room):
		f.room = int(room)
	case travelled >= f.batch() || took > int64(f.limit/waitShare):
		// Else more of them would hardly have taken longer. By half at most: the
		// database may only have held its breath.
		f.room = max(int(room), f.room/2, leastWaiting)
	}
}

// weigh takes in how long rows are.
func (f *flights) weigh(rows []blob.Row) {
	bytes := 0
	for i := range rows {
		bytes += len(rows[i].Detail) + len(rows[i].Styles) + len(rows[i].Related)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rowBytes += (bytes - len(rows)*f.rowBytes) / maxBatch
}
