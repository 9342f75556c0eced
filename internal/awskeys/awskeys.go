// Package awskeys owns how those parts that speak to AWS outside of a cloud's driver are
// configured: by an address SCHEME://REGION/NAME[?endpoint=URL], and a secret with keys.
package awskeys

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"showrunner/problem"
)

// keys is a secret with the keys of AWS.
type keys struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}

var region = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Load reads an address and a secret: JSON with accessKeyId, secretAccessKey and
// sessionToken. Without a secret the SDK looks for keys in the environment, in its files
// and in the machine's role. The configuration makes one attempt a call: callers repeat by
// themselves, and say so. Errors: invalid, none of which holds the secret.
func Load(ctx context.Context, op, address, secret string) (c aws.Config, name string, err error) {
	u, err := url.Parse(address)
	if err != nil || !region.MatchString(u.Host) {
		return c, "", problem.New(problem.Invalid, op, "the address does not name a region of AWS")
	}
	options := []func(*config.LoadOptions) error{config.WithRegion(u.Host),
		config.WithRetryer(func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), 1) })}
	if endpoint := u.Query().Get("endpoint"); endpoint != "" {
		options = append(options, config.WithBaseEndpoint(endpoint))
	}
	if strings.TrimSpace(secret) != "" {
		var k keys
		if err := json.Unmarshal([]byte(secret), &k); err != nil || k.AccessKeyID == "" || k.SecretAccessKey == "" {
			return c, "", problem.New(problem.Invalid, op, "the secret is not JSON with accessKeyId and secretAccessKey")
		}
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)))
	}
	if c, err = config.LoadDefaultConfig(ctx, options...); err != nil {
		return c, "", problem.New(problem.Invalid, op, "the configuration of AWS cannot be read: %v", err)
	}
	return c, strings.TrimPrefix(u.Path, "/"), nil
}

// answered is what the errors of AWS's operations have.
type answered interface {
	ErrorCode() string
	ErrorMessage() string
}

// Said is the code and message of an error of AWS; ok is false when nothing answered.
func Said(err error) (code, message string, ok bool) {
	for err != nil {
		if a, is := err.(answered); is {
			return a.ErrorCode(), a.ErrorMessage(), true
		}
		u, is := err.(interface{ Unwrap() error })
		if !is {
			break
		}
		err = u.Unwrap()
	}
	return "", "", false
}
