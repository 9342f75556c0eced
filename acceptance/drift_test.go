package acceptance

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"showrunner/cloud"
	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/execution"
)

// bucket is an ordinary S3 client of a region.
func (w *world) bucket(region string) *s3.Client {
	w.t.Helper()
	keys, err := objectstore.LoadCredentials(localcloud.CredentialsFile(w.data))
	if err != nil {
		w.t.Fatal(err)
	}
	var regions []cloud.Region
	w.json(&regions, "regions")
	for _, r := range regions {
		if r.Name == region {
			return s3.New(s3.Options{BaseEndpoint: aws.String(r.S3), Region: region, UsePathStyle: true,
				Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKey, keys.SecretKey, "")})
		}
	}
	w.t.Fatalf("no region %s", region)
	return nil
}

// A bucket is changed by hand in one region, and another region is returned to an
// earlier deployment: drift reports both and repairs both.
func TestDriftOfAWebsite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, siteFiles("one"))
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	w.must("run", "shop/release", "--watch")
	first := w.must("sites", "deployments", "shop", "-o", "name")
	r.commit("second", map[string]string{"version": "two"})
	w.must("run", "shop/release", "--watch")
	if out := w.must("drift", "shop"); !strings.Contains(out, "as deployed") {
		t.Fatalf("untouched:\n%s", out)
	}

	client := w.bucket("us-west-2")
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("shop"), Key: aws.String("index.html"), Body: strings.NewReader("defaced")}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String("shop"), Key: aws.String("assets/app-two.css")}); err != nil {
		t.Fatal(err)
	}
	drifted, _, code := w.cli("drift", "--site", "shop")
	for _, want := range []string{"objects", "us-west-2", "assets/app-two.css removed, index.html replaced"} {
		if code != 10 || !strings.Contains(drifted, want) {
			t.Errorf("exit %d, %q is missing:\n%s", code, want, drifted)
		}
	}
	if strings.Contains(drifted, "eu-west-1") {
		t.Errorf("eu-west-1 was not touched:\n%s", drifted)
	}
	w.must("drift", "--site", "shop", "--repair")
	if out := w.must("drift", "shop"); !strings.Contains(out, "as deployed") {
		t.Errorf("repaired:\n%s", out)
	}
	for range 6 { // whichever region answers
		if code, body := w.get("shop", "/"); code != http.StatusOK || !strings.Contains(body, "version two") {
			t.Errorf("%d %s", code, body)
		}
	}
	object, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("shop"), Key: aws.String("assets/app-two.css")})
	if err != nil {
		t.Errorf("the bucket lacks what was removed: %v", err)
	} else {
		object.Body.Close()
	}

	// Past the control plane, by the region's own interface, so that no execution
	// records it.
	local, err := localcloud.NewClient(localcloud.ClientConfig{Regions: []localcloud.Endpoint{{Region: "eu-west-1", Data: w.data}}})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	id, _, _ := strings.Cut(strings.TrimSpace(first), "\n")
	if _, err := local.Activate(t.Context(), "eu-west-1", "shop", id, "by hand"); err != nil {
		t.Fatal(err)
	}
	if drifted, _, code = w.cli("drift", "shop"); code != 10 || !strings.Contains(drifted, "eu-west-1") || !strings.Contains(drifted, "return to d-") {
		t.Errorf("exit %d:\n%s", code, drifted)
	}
	w.must("drift", "shop", "--repair")
	w.must("drift", "shop")
	// A rollback is a deployment, so it is not drift.
	w.must("rollback", "--site", "shop")
	w.must("drift", "shop")
	if _, errs, code := w.cli("drift", "--site", "nothing"); code != 6 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// The version that was put into traffic last counts, not the execution that
// started last: an older run that is approved after a newer one is not drift, and
// repair leaves it alone.
func TestTheVersionPutIntoTrafficLastIsNotDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := siteFiles("one")
	files["showrunner.yaml"] = strings.Replace(sitePipeline, "pipelines:\n", `pipelines:
  gated:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      approve: { needs: [build], approval: {} }
      site: { needs: [approve], deploy-site: { site: shop, artifact: build } }
`, 1)
	r := newRepo(t, files)
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	var older execution.Execution
	w.json(&older, "run", "shop/gated")
	w.eventually(30*time.Second, "it waits for a person", func() error {
		if w.json(&older, "executions", "show", older.ID); !older.Activity.WaitsForPerson() {
			return fmt.Errorf("%+v", older.Stages)
		}
		return nil
	})
	r.commit("second", map[string]string{"version": "two"})
	w.must("run", "shop/release", "--watch")
	w.must("approve", older.ID, "approve")
	w.must("executions", "watch", older.ID)
	if code, body := w.get("shop", "/"); code != http.StatusOK || !strings.Contains(body, "version one") {
		t.Fatalf("%d %s", code, body)
	}
	if out := w.must("drift", "shop"); !strings.Contains(out, "as deployed") {
		t.Errorf("drift says\n%s", out)
	}
	w.must("drift", "shop", "--repair")
	if code, body := w.get("shop", "/"); code != http.StatusOK || !strings.Contains(body, "version one") {
		t.Errorf("repair reverted what was approved: %d %s", code, body)
	}

	// A lost region is the first line of the output, with its own exit code.
	w.must("regions", "stop", "us-west-2", "--reason", "trying", "--kill")
	for _, command := range [][]string{{"drift", "shop"}, {"clusters"}, {"doctor"}} {
		out, errs, code := w.cli(command...)
		first, _, _ := strings.Cut(out, "\n")
		if code != 10 || !strings.Contains(first, "us-west-2") {
			t.Errorf("%v: exit %d, first line %q\n%s", command, code, first, errs)
		}
	}
	w.must("regions", "start", "us-west-2")
	w.eventually(20*time.Second, "the region is back", func() error {
		if out, _, code := w.cli("drift", "shop"); code != 0 {
			return errors.New(out)
		}
		return nil
	})
	if out := w.must("audit"); !strings.Contains(out, "region.stop") || !strings.Contains(out, "region us-west-2") {
		t.Errorf("the audit log says\n%s", out)
	}
}

// A state that is restored beside an empty cloud lists what is lost, until a
// person confirms that it was removed on purpose.
func TestDriftAfterARestoredState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, siteFiles("one"))
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	w.must("run", "shop/release", "--watch")
	backup := filepath.Join(t.TempDir(), "backup")
	w.must("backup", backup)
	w.stop()
	w.data = t.TempDir()
	w.must("restore", backup)
	w.start()
	w.eventually(30*time.Second, "drift says what is lost", func() error {
		out, errs, code := w.cli("drift", "shop")
		if first, _, _ := strings.Cut(out, "\n"); code != 10 || !strings.Contains(first, "Not there: shop (site)") {
			return fmt.Errorf("exit %d:\n%s%s", code, out, errs)
		}
		return nil
	})
	if out, _, code := w.cli("clusters"); code != 10 || !strings.Contains(out, "Not there: site shop") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	w.must("drift", "--site", "shop", "--forget")
	if out, _, code := w.cli("clusters"); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
