package execution

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// draw fills a value of any type, every field of it in some runs and not in others.
func draw(rt *rapid.T, v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		at := time.UnixMilli(rapid.Int64Range(-1e12, 4e12).Draw(rt, "ms")).UTC()
		if rapid.Bool().Draw(rt, "elsewhere") {
			at = at.In(time.FixedZone("", 60*rapid.IntRange(-700, 700).Draw(rt, "zone")))
		}
		v.Set(reflect.ValueOf(at))
		return
	case reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(rapid.SampledFrom([]string{``, `{"a": "<b>"}`, `[1 , 2]`}).Draw(rt, "raw")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			draw(rt, v.Field(i))
		}
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.SampledFrom([]string{"", "plain", `"`, `\`, "<>&", "\u2028", "\x7f", "\n"}), rapid.String()).Draw(rt, "text"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.SampledFrom([]int64{0, 1, -1, 1 << 40}).Draw(rt, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, "bool"))
	case reflect.Pointer:
		if rapid.Bool().Draw(rt, "nil") {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		draw(rt, v.Elem())
	case reflect.Slice:
		for range rapid.IntRange(0, 2).Draw(rt, "length") {
			e := reflect.New(v.Type().Elem()).Elem()
			draw(rt, e)
			v.Set(reflect.Append(v, e))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 2).Draw(rt, "length") {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			draw(rt, k)
			draw(rt, e)
			v.SetMapIndex(k, e)
		}
	case reflect.Interface:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]any{"a<b", 1.5, true, []any{1}}).Draw(rt, "any")))
	default:
		rt.Fatalf("the test does not know %v", v.Type())
	}
}

// TestEncodingIsThatOfJSON: what is written by hand is what package json writes,
// whatever field has whatever value.
func TestEncodingIsThatOfJSON(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s StageState
		draw(rt, reflect.ValueOf(&s).Elem())
		same(rt, func() ([]byte, error) { return encodeStage(&s) }, storedStage{V: stageVersion, StageState: s})
		var d eventData
		draw(rt, reflect.ValueOf(&d).Elem())
		same(rt, d.encode, d)
	})
}

func same(rt *rapid.T, encode func() ([]byte, error), v any) {
	want, werr := json.Marshal(v)
	got, err := encode()
	if (err != nil) != (werr != nil) {
		rt.Fatalf("%v, json says %v", err, werr)
	}
	if err == nil && string(got) != string(want) {
		rt.Fatalf("%s\njson writes\n%s", got, want)
	}
}

// TestWhatCannotBeKeptIsRefused: an output that is no JSON, a time that none knows.
func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	far := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range []StageState{{Outputs: map[string]any{"a": make(chan int)}}, {Until: &far}, {Tasks: []TaskState{{Started: far}}}} {
		if data, err := encodeStage(&s); err == nil {
			t.Errorf("%s", data)
		}
	}
}

func BenchmarkEncodeStage(b *testing.B) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := StageState{Status: Running, Attempt: 1, Phase: PhaseRunning, Task: "t1", Cursor: 1, Started: &now,
		Tasks: []TaskState{{Name: "t0", Outcome: "Done", Started: now, Ended: &now}, {Name: "t1", Started: now}}}
	for b.Loop() {
		if _, err := encodeStage(&s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeStageByReflection(b *testing.B) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := StageState{Status: Running, Attempt: 1, Phase: PhaseRunning, Task: "t1", Cursor: 1, Started: &now,
		Tasks: []TaskState{{Name: "t0", Outcome: "Done", Started: now, Ended: &now}, {Name: "t1", Started: now}}}
	for b.Loop() {
		if _, err := json.Marshal(storedStage{V: stageVersion, StageState: s}); err != nil {
			b.Fatal(err)
		}
	}
}
