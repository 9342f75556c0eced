package pause

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		if err := For(ctx, time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Error(err, time.Since(began))
		}
		time.AfterFunc(time.Minute, cancel)
		if err := For(ctx, time.Hour); !errors.Is(err, context.Canceled) || time.Since(began) != time.Hour+time.Minute {
			t.Error(err, time.Since(began))
		}
		for _, d := range []time.Duration{-1, 0, time.Hour} {
			if err := For(ctx, d); !errors.Is(err, context.Canceled) {
				t.Errorf("%s after the end: %v", d, err)
			}
		}
	})
}
