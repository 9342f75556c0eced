package importer_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"showrunner/importer"
	"showrunner/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// cases are the documents of testdata: NAME.KIND.EXT, with options in NAME.options.json.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.*.*")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, file := range files {
		parts := strings.Split(filepath.Base(file), ".")
		if len(parts) != 3 || parts[1] == "options" || parts[1] == "golden" {
			continue
		}
		ran++
		t.Run(parts[0], func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := run(parts[1], src, options(t, parts[0], filepath.Base(file)))
			if err != nil {
				t.Fatal(err)
			}
			if _, ds := pipeline.Parse("imported.yaml", r.YAML); ds.HasErrors() {
				t.Errorf("the file it writes is not valid:\n%s\n%s", ds.Text(), r.YAML)
			}
			compare(t, filepath.Join("testdata", parts[0]+".golden.yaml"), r.YAML)
			raw, err := json.MarshalIndent(map[string]any{
				"outputs": r.Outputs, "secrets": r.Secrets, "carried": r.Carried, "notCarried": r.NotCarried, "files": names(r.Files),
			}, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", parts[0]+".golden.json"), append(raw, '\n'))
		})
	}
	if ran < 10 {
		t.Errorf("only %d documents found", ran)
	}
}

func names(files map[string][]byte) map[string]string {
	out := map[string]string{}
	for name, content := range files {
		out[name] = string(content)
	}
	return out
}

func options(t *testing.T, name, file string) importer.Options {
	t.Helper()
	var o struct {
		Application     string
		Parameters      map[string]string
		SourceOverrides map[string]string
		Projects        map[string]string // name → file
	}
	if raw, err := os.ReadFile(filepath.Join("testdata", name+".options.json")); err == nil {
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
	}
	opts := importer.Options{File: file, Application: o.Application, Parameters: o.Parameters, SourceOverrides: o.SourceOverrides}
	for project, path := range o.Projects {
		raw, err := os.ReadFile(filepath.Join("testdata", path))
		if err != nil {
			t.Fatal(err)
		}
		if opts.Projects == nil {
			opts.Projects = map[string][]byte{}
		}
		opts.Projects[project] = raw
	}
	return opts
}

func run(kind string, src []byte, opts importer.Options) (importer.Result, error) {
	switch kind {
	case "codepipeline":
		return importer.CodePipeline(src, opts)
	case "terraform":
		return importer.Terraform(src, opts)
	case "spinnaker":
		return importer.Spinnaker(src, opts)
	}
	return importer.CDK(src, opts)
}

func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", path, got)
	}
}
