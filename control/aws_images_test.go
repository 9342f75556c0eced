package control

import (
	"strings"
	"testing"

	"showrunner/artifact"
)

// What stands for an image is found by the name that a task definition gives it: the
// exact one first, then without its tag, its digest and the name of Docker's registry.
func TestImagesAreFoundByTheirNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"nginx": "nginx", "nginx:1.27": "nginx", "docker.io/library/nginx:latest": "nginx", "nginx@sha256:" + strings.Repeat("a", 64): "nginx",
		"shop:2": "shop:2", "shop:3": "shop", "127.0.0.1:5000/shop:2": "127.0.0.1:5000/shop", "127.0.0.1:5000/shop": "127.0.0.1:5000/shop",
		"redis": "", "127.0.0.1:5000/nginx": "", "": "",
	} {
		found, ok := standing([]AWSImage{{Name: "nginx"}, {Name: "shop:2"}, {Name: "shop"}, {Name: "127.0.0.1:5000/shop"}}, name)
		if found.Name != want || ok != (want != "") {
			t.Errorf("%q finds %q (%v), want %q", name, found.Name, ok, want)
		}
	}
}

func TestImagesAreChecked(t *testing.T) {
	t.Parallel()
	ref := "sha256:" + strings.Repeat("a", 64)
	has := func(r artifact.Ref) bool { return string(r) == ref }
	for _, i := range []struct {
		image AWSImage
		want  string
	}{
		{AWSImage{Name: "shop", Artifact: SampleImage}, ""},
		{AWSImage{Name: "host:5000/a/shop:1.2", Artifact: ref, Command: []string{"./shop"}, Health: "/healthz"}, ""},
		{AWSImage{Name: "a shop", Artifact: SampleImage}, "no image's name"},
		{AWSImage{Name: "shop", Artifact: SampleImage, Command: []string{"./shop"}}, "a command and a health check of its own"},
		{AWSImage{Name: "shop", Artifact: "shop.zip"}, "is no artifact"},
		{AWSImage{Name: "shop", Artifact: "sha256:" + strings.Repeat("b", 64), Command: []string{"./shop"}}, "there is no artifact"},
		{AWSImage{Name: "shop", Artifact: ref}, "which command runs"},
		{AWSImage{Name: "shop", Artifact: ref, Command: []string{"./shop"}, Health: "healthz"}, "is no path"},
	} {
		err := i.image.check(has)
		if i.want == "" && err != nil || i.want != "" && (err == nil || !strings.Contains(err.Error(), i.want)) {
			t.Errorf("%+v: %v, want %q", i.image, err, i.want)
		}
	}
}
