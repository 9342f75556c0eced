package objectstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// acceptOldLinks accepts links that were signed by version 2 of the signature.
// The gateway does not know this version, but the aws command still makes it for
// the oldest regions (us-east-1, us-west-2, eu-west-1 and others; `aws s3
// presign`). A valid old signature is replaced by one that the gateway can check.
// https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
func acceptOldLinks(region string, c Credentials, now func() time.Time) fiber.Handler {
	return func(ctx fiber.Ctx) error {
		query, err := url.ParseQuery(string(ctx.Request().URI().QueryString()))
		if err != nil || !query.Has("AWSAccessKeyId") || !query.Has("Signature") || !query.Has("Expires") {
			return ctx.Next()
		}
		expires, err := strconv.ParseInt(query.Get("Expires"), 10, 64)
		switch {
		case err != nil:
			return refuseLink(ctx, s3err.ErrAccessDenied)
		case query.Get("AWSAccessKeyId") != c.AccessKey:
			return refuseLink(ctx, s3err.ErrInvalidAccessKeyID)
		}
		header := http.Header{}
		for name, value := range ctx.Request().Header.All() {
			header.Add(string(name), string(value))
		}
		path := string(ctx.Request().URI().PathOriginal())
		if want := signV2(c.SecretKey, ctx.Method(), path, query, header); !hmac.Equal([]byte(want), []byte(query.Get("Signature"))) {
			return refuseLink(ctx, s3err.ErrSignatureDoesNotMatch)
		}
		left := time.Unix(expires, 0).Sub(now())
		if left <= 0 {
			return refuseLink(ctx, s3err.ErrAccessDenied)
		}
		signed, err := resign(ctx.Context(), region, c, ctx.Method(), string(ctx.Request().Host()), path, query, left, now())
		if err != nil {
			return refuseLink(ctx, s3err.ErrAccessDenied)
		}
		ctx.Request().URI().SetQueryString(signed)
		return ctx.Next()
	}
}

func refuseLink(ctx fiber.Ctx, code s3err.ErrorCode) error {
	e := s3err.GetAPIError(code)
	request, host := utils.EnsureRequestIDs(ctx)
	ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return ctx.Status(e.StatusCode()).Send(e.XMLBody(request, host))
}

// partOfResource are the parameters that version 2 includes in the signature.
var partOfResource = []string{
	"acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment",
	"response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language",
	"response-content-type", "response-expires", "restore", "tagging", "torrent", "uploadId", "uploads", "versionId",
	"versioning", "versions", "website",
}

// signV2 computes the version 2 signature of a link.
func signV2(secret, method, path string, query url.Values, header http.Header) string {
	var amz []string
	for name, values := range header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			amz = append(amz, name+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
		}
	}
	slices.Sort(amz)
	var sub []string
	for _, name := range partOfResource {
		for _, value := range query[name] {
			if value != "" {
				name += "=" + value
			}
			sub = append(sub, name)
		}
	}
	resource := path
	if len(sub) > 0 {
		resource += "?" + strings.Join(sub, "&")
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(strings.Join([]string{
		method, header.Get("Content-Md5"), header.Get("Content-Type"), query.Get("Expires"), strings.Join(amz, "") + resource,
	}, "\n")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// resign makes the query of the same link with a signature of version 4.
func resign(ctx context.Context, region string, c Credentials, method, host, path string, query url.Values, left time.Duration, now time.Time) (string, error) {
	for _, name := range []string{"AWSAccessKeyId", "Signature", "Expires"} {
		query.Del(name)
	}
	// A link of version 2 may be valid for longer than version 4 allows.
	query.Set("X-Amz-Expires", strconv.Itoa(int(min(left, 7*24*time.Hour)/time.Second)+1))
	r, err := http.NewRequestWithContext(ctx, method, "http://"+host+path+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	signed, _, err := signer.PresignHTTP(ctx, aws.Credentials{AccessKeyID: c.AccessKey, SecretAccessKey: c.SecretKey},
		r, "UNSIGNED-PAYLOAD", "s3", region, now)
	if err != nil {
		return "", err
	}
	_, raw, _ := strings.Cut(signed, "?")
	return raw, nil
}
