package state

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type count struct{ N int }

func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	t.Parallel()
	c := New[count](&recordtest.Records{}, "aws.test")
	if err := c.Create(t.Context(), "r/a", count{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), "r/a", count{}); problem.CodeOf(err) != problem.Conflict {
		t.Errorf("created twice: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Update(t.Context(), "r/a", func(d *count) error { d.N++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := c.Get(t.Context(), "r/a"); err != nil || got.N != 20 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	ctx, no := context.Background(), errors.New("no")
	c := New[count](&recordtest.Records{}, "aws.test")
	if _, err := c.Update(ctx, "a", func(*count) error { return nil }); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("updated what is not there: %v", err)
	}
	if got, err := c.Put(ctx, "a", func(d *count) error { d.N = 1; return nil }); err != nil || got.N != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := c.Put(ctx, "a", func(d *count) error { d.N = 2; return no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if err := c.Delete(ctx, "a", func(count) error { return no }); !errors.Is(err, no) {
		t.Error(err)
	}
	if got, err := c.Get(ctx, "a"); err != nil || got.N != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.Delete(ctx, "a", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(ctx, "a"); problem.CodeOf(err) != problem.NotFound {
		t.Error(err)
	}
}

func TestListsGoOverPages(t *testing.T) {
	t.Parallel()
	c := New[count](&recordtest.Records{}, "aws.test").Paged(10)
	const page = 20
	for i := range page + 5 {
		if err := c.Create(t.Context(), fmt.Sprintf("r/%04d", i), count{i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Create(t.Context(), "s/other", count{}); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context(), "r/")
	if err != nil || len(list) != page+5 || list[page+4].Doc.N != page+4 {
		t.Errorf("%d documents, %v", len(list), err)
	}
}
