package monkey

import (
	"fmt"
	"math"
	"testing"
	"time"

	"showrunner/pipeline"
)

// settings reads a block as the pipeline file's would be read.
func settings(t testing.TB, change func(*pipeline.Chaos)) Settings {
	t.Helper()
	c := &pipeline.Chaos{Enabled: true}
	if change != nil {
		change(c)
	}
	s, err := FromFile(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// chiSquare is the statistic of counts against expected counts, and the value that
// it exceeds with a probability of one in a million (Wilson and Hilferty's
// approximation, Proc. Nat. Acad. Sci. 17, 1931).
func chiSquare(counts, expected []float64) (statistic, limit float64) {
	for i := range counts {
		statistic += (counts[i] - expected[i]) * (counts[i] - expected[i]) / expected[i]
	}
	df := float64(len(counts) - 1)
	h := 2 / (9 * df)
	return statistic, df * math.Pow(1-h+4.753*math.Sqrt(h), 3)
}

// gapCounts counts gaps of n working days, n from e, with one last class for all
// that are longer, against the geometric distribution of the package's comment.
func gapCounts(gaps map[int]int, total, mean, e int) (counts, expected []float64) {
	rest, restWant := float64(total), float64(total)
	for n := e; ; n++ {
		p := math.Pow(1-1/float64(mean), float64(n-e)) / float64(mean)
		want := p * float64(total)
		if restWant-want < 20 || want < 20 {
			return append(counts, rest), append(expected, restWant)
		}
		counts, expected = append(counts, float64(gaps[n])), append(expected, want)
		rest, restWant = rest-float64(gaps[n]), restWant-want
	}
}

// gaps simulates one group and counts the working days from each kill to the next.
func gaps(t *testing.T, s Settings, seed Seed, workdays int) (found map[int]int, total int, sum float64) {
	t.Helper()
	plan := []Plan{{s, []Cluster{{Application: "a", Account: "local", Region: "r", Name: "a", Instances: 3}}}}
	first := Date{2026, time.January, 1}
	number := map[Date]int{} // of a working day
	days := 0
	for d := first; len(number) < workdays; d, days = d.Add(1), days+1 {
		if s.DayOff(d) == "" {
			number[d] = len(number)
		}
	}
	found = map[int]int{}
	last := -1
	for k := range Simulate(plan, seed, first, days) {
		if k.Skipped != "" {
			continue
		}
		n, ok := number[k.Day]
		if !ok {
			t.Fatalf("a kill on %s, which is no working day", k.Day)
		}
		if last >= 0 {
			found[n-last]++
			total++
			sum += float64(n - last)
		}
		last = n
	}
	return found, total, sum
}

// TestGapsFollowTheDistribution checks 200,000 working days for each pair of mean
// and minimum, in zones with changes of the clock and with holidays.
func TestGapsFollowTheDistribution(t *testing.T) {
	t.Parallel()
	for i, tt := range []struct {
		mean, min int
		zone      string
		holidays  []string
	}{
		{5, 1, "UTC", nil}, {5, 2, "America/Los_Angeles", nil}, {2, 1, "America/Los_Angeles", []string{"us"}}, {5, 5, "Europe/Paris", []string{"fr", "12-24", "2026-07-01..2026-08-15"}},
		{1, 1, "Africa/Cairo", nil}, {1, 3, "Australia/Lord_Howe", nil}, {3, 0, "Asia/Tehran", nil}, {2, 9, "America/Sao_Paulo", []string{"br"}},
	} {
		t.Run(fmt.Sprintf("mean %d min %d", tt.mean, tt.min), func(t *testing.T) {
			t.Parallel()
			s := settings(t, func(c *pipeline.Chaos) {
				c.Mean, c.Min, c.Zone, c.Holidays = tt.mean, &tt.min, tt.zone, tt.holidays
				c.Hours = &pipeline.ChaosHours{From: "00:00", To: "24:00"} // every change of the clock is inside
			})
			const workdays = 200_000
			found, total, sum := gaps(t, s, Seed(i+1), workdays)
			e := max(tt.min, 1)
			for n := range found {
				if n < e {
					t.Errorf("a gap of %d working days", n)
				}
			}
			want := float64(tt.mean + e - 1)
			deviation := math.Sqrt(float64(tt.mean*(tt.mean-1)) / float64(total))
			if mean := sum / float64(total); math.Abs(mean-want) > 5*deviation+1e-9 {
				t.Errorf("the mean gap is %.3f, want %.3f", mean, want)
			}
			if tt.mean == 1 {
				if found[e] != total {
					t.Errorf("with a mean of 1 each gap is %d: %v", e, found)
				}
				return
			}
			counts, expected := gapCounts(found, total, tt.mean, e)
			if statistic, limit := chiSquare(counts, expected); statistic > limit {
				t.Errorf("chi-square %.1f over %d classes, limit %.1f", statistic, len(counts), limit)
			}
			// The test can tell: a mean that is a tenth off is refused.
			counts, expected = gapCounts(found, total, tt.mean+1, e)
			if statistic, limit := chiSquare(counts, expected); statistic < limit {
				t.Errorf("another mean passes too: chi-square %.1f, limit %.1f", statistic, limit)
			}
		})
	}
}

// TestMinutesAreUniform: each of the 360 minutes of the default hours is as likely
// as another, in the zone's own time.
func TestMinutesAreUniform(t *testing.T) {
	t.Parallel()
	s := settings(t, func(c *pipeline.Chaos) { c.Mean, c.Zone = 1, "America/Los_Angeles" })
	counts, expected := make([]float64, 360), make([]float64, 360)
	plan := []Plan{{s, []Cluster{{Application: "a", Account: "x", Region: "r", Name: "a", Instances: 1}}}}
	total := 0
	for k := range Simulate(plan, 7, Date{2026, time.March, 1}, 280_000) {
		local := k.At.In(s.Zone)
		minute := local.Hour()*60 + local.Minute() - 9*60
		if minute < 0 || minute >= 360 || local.Second() != 0 || DateOf(k.At, s.Zone) != k.Day {
			t.Fatalf("a kill at %s", local)
		}
		counts[minute]++
		total++
	}
	if total < 199_000 {
		t.Fatalf("only %d kills", total)
	}
	for i := range expected {
		expected[i] = float64(total) / 360
	}
	if statistic, limit := chiSquare(counts, expected); statistic > limit {
		t.Errorf("chi-square %.1f with 359 degrees, limit %.1f", statistic, limit)
	}
}

// TestGroupsAreIndependent: of G groups, Binomial(G, 1/mean) are hit on a day.
func TestGroupsAreIndependent(t *testing.T) {
	t.Parallel()
	const groups, mean, days = 6, 3, 70_000
	s := settings(t, func(c *pipeline.Chaos) { c.Mean, c.RegionsAreIndependent = mean, true })
	var clusters []Cluster
	for i := range groups {
		clusters = append(clusters, Cluster{Application: "a", Account: "x", Region: fmt.Sprint("r", i/2), Name: fmt.Sprint("a-", i%2), Instances: 1})
	}
	hits := map[Date]int{}
	for k := range Simulate([]Plan{{s, clusters}}, 11, Date{2026, time.January, 1}, days) {
		hits[k.Day]++
	}
	counts, expected := make([]float64, groups+1), make([]float64, groups+1)
	workdays := 0
	for d := range days {
		day := Date{2026, time.January, 1}.Add(d)
		if s.DayOff(day) == "" {
			counts[hits[day]]++
			workdays++
		}
	}
	for n := range expected {
		choose := 1.0
		for i := range n {
			choose = choose * float64(groups-i) / float64(i+1)
		}
		expected[n] = float64(workdays) * choose * math.Pow(1./mean, float64(n)) * math.Pow(1-1./mean, float64(groups-n))
	}
	if statistic, limit := chiSquare(counts, expected); statistic > limit {
		t.Errorf("chi-square %.1f, limit %.1f: %v, want %v", statistic, limit, counts, expected)
	}
}

// TestVictimsAreUniform: each eligible instance is as likely as another, so that a
// cluster is hit in proportion to its instances.
func TestVictimsAreUniform(t *testing.T) {
	t.Parallel()
	zero := 0
	s := settings(t, func(c *pipeline.Chaos) {
		c.Mean, c.Min, c.Grouping = 1, &zero, "app"
		c.Exceptions = []pipeline.ChaosException{{Account: "*", Region: "r2", Stack: "*", Detail: "*"}}
	})
	clusters := []Cluster{
		{Application: "a", Account: "x", Region: "r1", Name: "a", Instances: 1},
		{Application: "a", Account: "x", Region: "r1", Name: "a-b", Stack: "b", Instances: 3},
		{Application: "a", Account: "x", Region: "r2", Name: "a", Instances: 90},
		{Application: "a", Account: "x", Region: "r3", Name: "a-b-canary", Stack: "b", Detail: "canary", Instances: 90},
		{Application: "a", Account: "x", Region: "r3", Name: "a", Instances: 6},
	}
	counts, total := map[Cluster]float64{}, 0.
	for k := range Simulate([]Plan{{s, clusters}}, 3, Date{2026, time.January, 1}, 60_000) {
		counts[k.Victim]++
		total++
	}
	statistic, limit := chiSquare([]float64{counts[clusters[0]], counts[clusters[1]], counts[clusters[4]]}, []float64{total * .1, total * .3, total * .6})
	if len(counts) != 3 || statistic > limit {
		t.Errorf("%v of %v, chi-square %.1f, limit %.1f", counts, total, statistic, limit)
	}
}
