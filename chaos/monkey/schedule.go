package monkey

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Seed is where the chance of a schedule comes from: the same seed, day and group
// give the same draw, on every machine and in any order.
type Seed uint64

// Chance is the random source of a group on a day, for one purpose.
func (s Seed) Chance(d Date, group, purpose string) *rand.Rand {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s\x00%s\x00%s", uint64(s), d, group, purpose))
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])))
}

// Entry is a scheduled kill.
type Entry struct {
	Day   Date      `json:"day"`
	At    time.Time `json:"at"`
	Group Group     `json:"group"`
}

// Draw says whether and when a group is hit on a day. Of a working day it is with
// the probability 1/Mean, at a whole minute of the day's window, each as likely as
// another.
func (s Settings) Draw(seed Seed, d Date, g Group) (Entry, bool) {
	if !s.Enabled || !s.draws(d) {
		return Entry{}, false
	}
	chance := seed.Chance(d, g.String(), "schedule")
	if u := chance.Float64(); u > 1/float64(s.Mean) {
		return Entry{}, false
	}
	from, to := s.Window(d)
	minutes := int(to.Sub(from) / time.Minute)
	if minutes < 1 {
		return Entry{}, false
	}
	return Entry{Day: d, At: from.Add(time.Duration(chance.IntN(minutes)) * time.Minute), Group: g}, true
}

// Schedule draws for each group of the clusters, and returns the kills of a day in
// the order of their times.
func (s Settings) Schedule(seed Seed, d Date, clusters []Cluster) []Entry {
	var entries []Entry
	for _, g := range s.Groups(clusters) {
		if e, ok := s.Draw(seed, d, g); ok {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Group.String(), b.Group.String()))
	})
	return entries
}
