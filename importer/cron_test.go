package importer

import "testing"

func TestFiveFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in     string
		quartz bool
		want   string // "" is refused
	}{
		{"0 10 * * ? *", false, "0 10 * * *"},
		{"15 12 ? * MON-FRI *", false, "15 12 * * MON-FRI"},
		{"0 18 ? * 2-6 *", false, "0 18 * * 1-5"},
		{"0/15 8-17 ? * 1,7 *", false, "0/15 8-17 * * 0,6"},
		{"0 8 1 * ? *", false, "0 8 1 * *"},
		{"0 8 L * ? *", false, ""},
		{"0 8 ? * 6#3 *", false, ""},
		{"0 8 1W * ? *", false, ""},
		{"0 8 ? * 8 *", false, ""},
		{"0 8 * * ? 2027", false, ""},
		{"0 8 * *", false, ""},
		// A range that wraps around becomes two ranges.
		{"0 0 3 ? * FRI-MON", true, "0 3 * * 5-6,0-1"},
		{"0 0 3 ? * 6-2", true, "0 3 * * 5-6,0-1"},
		{"0 0 22-2 ? NOV-FEB *", true, "0 22-23,0-2 * 11-12,1-2 *"},
		{"0 0 22-2/2 ? * *", true, ""},
		{"0 0 12 ? * WED", true, "0 12 * * WED"},
		{"0 15 10 ? * 2 *", true, "15 10 * * 1"},
		{"30 0 12 * * ?", true, ""},
		{"0 0 12", true, ""},
		{"", true, ""},
	} {
		got, err := fiveFields(c.in, c.quartz)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("fiveFields(%q, %v) = %q, %v; want %q", c.in, c.quartz, got, err, c.want)
		}
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"1 minute": "* * * * *", "5 minutes": "*/5 * * * *", "7 minutes": "", "60 minutes": "0 * * * *", "1 hour": "0 * * * *",
		"6 hours": "0 */6 * * *", "5 hours": "", "1 day": "0 0 * * *", "7 days": "0 0 * * 0", "2 days": "", "0 hours": "", "x": "",
	} {
		got, err := rate(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("rate(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestKebab(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"NetflixDemoBucket": "netflix-demo-bucket", "GitHub_Source": "github-source", "S3Deploy": "s3-deploy", "HTTPServer": "http-server",
		"my.site.example": "my-site-example", "--x--": "x", "Ünï": "n", "": "", "already-fine": "already-fine",
	} {
		if got := kebab(in); got != want {
			t.Errorf("kebab(%q) = %q, want %q", in, got, want)
		}
	}
}
