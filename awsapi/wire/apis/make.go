//go:build ignore

// Make writes the trimmed models anew: the operations of operations.txt with the
// shapes that they reach, from the API models of aws-sdk-go (Apache-2.0).
//
//	go run make.go
//
// It needs the Go module proxy once. SHA256SUMS says what it wrote.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const source = "github.com/aws/aws-sdk-go@v1.55.8"

type object = map[string]any

func main() {
	log.SetFlags(0)
	download := exec.Command("go", "mod", "download", "-json", source)
	download.Env = append(os.Environ(), "GOFLAGS=")
	out, err := download.Output()
	check(err)
	var module struct{ Dir string }
	check(json.Unmarshal(out, &module))
	list, err := os.ReadFile("operations.txt")
	check(err)
	text, err := os.ReadFile("newer.model")
	check(err)
	var newer map[string]map[string]object
	check(json.Unmarshal(text, &newer))
	var sums strings.Builder
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] == "#" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(module.Dir, "models", "apis", fields[0], fields[1], "api-2.json"))
		check(err)
		var model object
		check(json.Unmarshal(text, &model))
		amend(model, newer[fields[0]])
		trim(model, fields[2:], fields[0])
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		check(e.Encode(model))
		name := fields[0] + ".json"
		check(os.WriteFile(name, b.Bytes(), 0o644))
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b.Bytes()), name)
	}
	check(os.WriteFile("SHA256SUMS", []byte(sums.String()), 0o644))
}

// amend adds what AWS's API reference has and the source has not: newer.model holds
// operations, shapes, and members and values of shapes, by service.
func amend(model object, shapes map[string]object) {
	known := model["shapes"].(object)
	maps.Copy(model["operations"].(object), shapes["operations"])
	for name, more := range shapes {
		if name == "operations" {
			continue
		}
		shape, ok := known[name].(object)
		if !ok {
			known[name] = more
			continue
		}
		if members, ok := more["members"].(object); ok {
			maps.Copy(shape["members"].(object), members)
		}
		if values, ok := more["enum"].([]any); ok {
			shape["enum"] = append(shape["enum"].([]any), values...)
		}
	}
}

// trim leaves the named operations and what they reach; "*" leaves all.
func trim(model object, names []string, service string) {
	operations, shapes := model["operations"].(object), model["shapes"].(object)
	kept, reached := object{}, object{}
	for name, o := range operations {
		if names[0] == "*" || slices.Contains(names, name) {
			kept[name] = o
			delete(o.(object), "documentation")
			delete(o.(object), "documentationUrl")
			for _, part := range []string{"input", "output"} {
				if p, ok := o.(object)[part].(object); ok {
					reach(p["shape"].(string), shapes, reached)
				}
			}
			if failures, ok := o.(object)["errors"].([]any); ok {
				for _, e := range failures {
					reach(e.(object)["shape"].(string), shapes, reached)
				}
			}
		}
	}
	for _, name := range names {
		if _, ok := kept[name]; !ok && name != "*" {
			log.Fatalf("%s has no operation %s", service, name)
		}
	}
	model["operations"], model["shapes"] = kept, reached
}

func reach(name string, shapes, reached object) {
	if _, ok := reached[name]; ok {
		return
	}
	shape := shapes[name].(object)
	delete(shape, "documentation")
	reached[name] = shape
	for _, part := range []string{"member", "key", "value"} {
		if p, ok := shape[part].(object); ok {
			reach(p["shape"].(string), shapes, reached)
		}
	}
	if members, ok := shape["members"].(object); ok {
		for _, m := range members {
			delete(m.(object), "documentation")
			reach(m.(object)["shape"].(string), shapes, reached)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
