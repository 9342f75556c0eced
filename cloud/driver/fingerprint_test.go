package driver_test

import (
	"reflect"
	"testing"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

func whole() driver.ServerGroupSpec {
	return driver.ServerGroupSpec{
		Application: "app", Cluster: "app-prod", Version: "1.0",
		Workload: driver.Workload{Process: &driver.Process{Artifact: "sha256:1", Command: []string{"./app"}}},
		Env:      driver.Values(map[string]string{"MODE": "plain", "TOKEN": "hush"}),
		Health:   pipeline.Health{Path: "/healthz"}, Capacity: pipeline.Capacity{Min: 1, Desired: 2, Max: 3},
		Drain: time.Second, StopTimeout: time.Second, Execution: "e-1", Weight: 100,
	}
}

// Every field of a specification is part of its fingerprint, except the fields
// named here with the reason.
func TestEveryOptionIsPartOfTheFingerprint(t *testing.T) {
	left := map[string]string{
		"Capacity":    "it is changed without a new version",
		"Weight":      "it is changed without a new version",
		"Execution":   "two executions may ask for the same version",
		"Fingerprint": "it is the result",
	}
	key := []byte("key")
	before := driver.Fingerprint(whole(), key)
	typ := reflect.TypeFor[driver.ServerGroupSpec]()
	for n := range typ.NumField() {
		field := typ.Field(n)
		spec := whole()
		value := reflect.ValueOf(&spec).Elem().Field(n)
		if value.Kind() == reflect.Pointer {
			value.Set(reflect.New(value.Type().Elem()))
			other(t, value.Elem())
		} else {
			other(t, value)
		}
		changed := driver.Fingerprint(spec, key) != before
		if _, ok := left[field.Name]; ok == changed {
			t.Errorf("%s: a change of it makes another version: %v", field.Name, changed)
		}
	}
	if driver.Fingerprint(whole(), key) != before {
		t.Error("the same specification has two fingerprints")
	}
}

// other changes a value to another one, inside its parts where it has parts.
func other(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Struct:
		other(t, v.Field(0))
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		other(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	case reflect.Map:
		v.SetMapIndex(reflect.ValueOf("MORE"), reflect.Zero(v.Type().Elem()))
	default:
		t.Fatalf("this test does not know fields of the kind %s: add them", v.Kind())
	}
}

func TestFingerprintOfTheEnvironment(t *testing.T) {
	key := []byte("key")
	before := driver.Fingerprint(whole(), key)
	for what, env := range map[string]map[string]driver.EnvValue{
		"a variable removed":          driver.Values(map[string]string{"MODE": "plain"}),
		"a value changed":             driver.Values(map[string]string{"MODE": "plain", "TOKEN": "hushed"}),
		"a value empty":               driver.Values(map[string]string{"MODE": "plain", "TOKEN": ""}),
		"two values swapped":          driver.Values(map[string]string{"MODE": "hush", "TOKEN": "plain"}),
		"a reference, no value":       {"MODE": {Value: "plain"}, "TOKEN": {Secret: "hush"}},
		"none":                        nil,
		"a name of two written apart": driver.Values(map[string]string{"MODE": "plain", "TOK": "ENhush"}),
	} {
		spec := whole()
		spec.Env = env
		if driver.Fingerprint(spec, key) == before {
			t.Errorf("%s: the same version", what)
		}
	}
	// Without the key, an attacker cannot try values until the fingerprint
	// matches.
	if driver.Fingerprint(whole(), []byte("another")) == before {
		t.Error("the fingerprint does not depend on the key")
	}
	if _, shown := whole().Env["TOKEN"]; !shown {
		t.Error("the environment of the caller was changed")
	}
}
