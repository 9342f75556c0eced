package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"showrunner/canary/judge"
	"showrunner/problem"
)

// JudgePath is where Kayenta's remote judge expects a judge to answer.
const JudgePath = "POST /judge"

// Bounds of what the judge computes for others at once.
const (
	mostJudgeBytes = 16 << 20
	mostJudging    = 4
)

// Judge answers the requests of Kayenta's remote judge. It reads and changes nothing
// here, so that it needs no token: Kayenta has none to send.
func Judge() http.Handler {
	places := make(chan struct{}, mostJudging)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-r.Context().Done():
			return
		}
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostJudgeBytes))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			err = problem.New(problem.Invalid, "judge", "the request is larger than %d bytes", mostJudgeBytes)
		}
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		request, err := judge.ParseRequest(text)
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		result, err := judge.Judge(request)
		if err == nil {
			text, err = json.Marshal(result)
		}
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(text, '\n')) // the client has gone when this fails
	})
}
