package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/chaos/gameday"
)

// Every duration in an answer is text, and described as such: no type of an answer
// leaves a time.Duration to the encoder, which writes nanoseconds. Reports of game days
// have numbers of seconds, whose names say so.
func TestDurationsAreText(t *testing.T) {
	t.Parallel()
	registry := New(Config{}).api.OpenAPI().Components.Schemas
	marshaler := reflect.TypeFor[json.Marshaler]()
	found := 0
	for name, schema := range registry.Map() {
		typ := registry.TypeFromRef("#/components/schemas/" + name)
		if typ == nil || typ.Kind() != reflect.Struct {
			continue
		}
		for _, f := range reflect.VisibleFields(typ) {
			switch text := f.Type.Implements(marshaler); {
			case f.Type.Kind() != reflect.Int64 || f.Type != reflect.TypeFor[time.Duration]() && !text:
				continue
			case !text && !typ.Implements(marshaler):
				t.Errorf("%s.%s is written as a number of nanoseconds", typ, f.Name)
			}
			found++
			for property, s := range schema.Properties {
				if len(f.Tag.Get("json")) >= len(property) && f.Tag.Get("json")[:len(property)] == property && s.Type != described(f.Type, property) {
					t.Errorf("%s.%s is described as %s", name, property, s.Type)
				}
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d durations were found", found)
	}
}

func described(t reflect.Type, property string) string {
	if t == reflect.TypeFor[gameday.Seconds]() && strings.HasSuffix(property, "Seconds") {
		return "number"
	}
	return "string"
}
