package codepipeline

import (
	"testing"

	"showrunner/pipeline"
)

// Every kind of stage is told as some action.
func TestEveryKindIsTold(t *testing.T) {
	for _, kind := range pipeline.KindNames() {
		if toldKinds[kind].category == "" {
			t.Errorf("the kind %s has no action: add it to toldKinds", kind)
		}
	}
}
