package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"showrunner/canary/judge"
)

// Kayenta's remote judge sends no token, and reads Kayenta's own answer.
func TestJudgeAnswersKayenta(t *testing.T) {
	server := httptest.NewServer(Judge())
	defer server.Close()
	for _, c := range []struct {
		body, want string
		status     int
	}{
		{`{"canaryConfig": {"metrics": [{"name": "cpu", "groups": ["g"]}]}, "scoreThresholds": {"pass": 95, "marginal": 75}, "metricSetPairList": [{"name": "cpu", "values": {"control": [1, 2, 3], "experiment": [1, 2, 3]}}]}`, "", 200},
		{`{`, "not what a judge reads", 400},
		{`{"canaryConfig": {}}`, "scoreThresholds", 400},
		{strings.Repeat(" ", mostJudgeBytes+1), "larger than", 400},
	} {
		answer, err := http.Post(server.URL, "application/json", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(answer.Body); err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != c.status || !strings.Contains(text.String(), c.want) {
			t.Errorf("%.40s: %d %s", c.body, answer.StatusCode, text.String())
		}
		if c.status != 200 {
			continue
		}
		var result judge.Result
		if err := json.Unmarshal(text.Bytes(), &result); err != nil || result.Score.Score != 100 || result.Score.Label != "Pass" || result.JudgeName != judge.KayentaJudge {
			t.Errorf("%v: %s", err, text.String())
		}
	}
}
