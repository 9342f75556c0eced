package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"showrunner/web/gallery"
)

// Each picture is of a page of the gallery, lies in docs, and is shown by README or docs.
func TestPicturesAreOfPagesAndShown(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	var texts strings.Builder
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts.Write(raw)
	}
	for _, p := range pictures {
		if !slices.ContainsFunc(gallery.Pages(gallery.Full), func(page gallery.Page) bool { return page.Path == p.path }) {
			t.Errorf("%s: the gallery has no page %s", p.name, p.path)
		}
		if _, err := os.Stat(filepath.Join(root, "docs", p.name+".png")); err != nil {
			t.Errorf("run make pictures: %v", err)
		}
		if !strings.Contains(texts.String(), p.name+".png)") {
			t.Errorf("neither README.md nor docs shows %s.png", p.name)
		}
	}
}
