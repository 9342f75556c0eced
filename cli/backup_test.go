package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongWorkSaysHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err bytes.Buffer
		a := &app{Streams: Streams{Err: &err}, progress: "auto"}
		stop := a.tellProgress(func(took time.Duration) string { return sizeOf(1_500_000_000) + " after " + took.String() })
		<-time.After(11 * time.Second) // the bubble's clock
		stop()
		if got := err.String(); got != "1.50 GB after 5s\n1.50 GB after 10s\n" {
			t.Errorf("%q", got)
		}
		err.Reset()
		a.progress = "none"
		stop = a.tellProgress(func(time.Duration) string { return "far" })
		<-time.After(6 * time.Second)
		stop()
		if strings.Contains(err.String(), "far") {
			t.Error("it speaks although it should not")
		}
	})
}
