package environment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// AWS is an endpoint of AWS's API and a key that it takes.
type AWS struct{ URL, Key, Secret string }

// AWSOf is the endpoint of the control plane that runs on a data folder, as
// `showrunner aws env` prints it.
func AWSOf(ctx context.Context, exe, data string) (AWS, error) {
	out, err := exec.CommandContext(ctx, exe, "--data", data, "aws", "env").Output()
	if err != nil {
		return AWS{}, fmt.Errorf("showrunner aws env: %w", err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			vars[name] = strings.Trim(value, `'"`)
		}
	}
	a := AWS{vars["AWS_ENDPOINT_URL"], vars["AWS_ACCESS_KEY_ID"], vars["AWS_SECRET_ACCESS_KEY"]}
	if a.URL == "" || a.Key == "" || a.Secret == "" {
		return AWS{}, fmt.Errorf("showrunner aws env prints no endpoint or key:\n%s", out)
	}
	return a, nil
}

// AWSRequest is a request of one of AWS's services as its clients send it: a
// target for the JSON protocols, a form without one for the query protocols.
type AWSRequest struct {
	Region, Service   string
	Target, MediaType string
	Body              []byte
}

// Send signs and sends a request. It answers with the size of the answer in bytes
// and what it took from the first byte sent to the last one read; an answer that
// is not 200 is an error.
func (a AWS) Send(ctx context.Context, client *http.Client, r AWSRequest) (size int, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+"/", bytes.NewReader(r.Body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", r.MediaType)
	if r.Target != "" {
		req.Header.Set("X-Amz-Target", r.Target)
	}
	sum := sha256.Sum256(r.Body)
	if err := v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: a.Key, SecretAccessKey: a.Secret}, req, hex.EncodeToString(sum[:]), r.Service, r.Region, time.Now()); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return len(answer), time.Since(began), nil
}
