package lambda

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"showrunner/artifact"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// The limits of code, in bytes.
const (
	mostZipped   = 50 << 20
	mostUnzipped = 262144000
)

// archive is the file in an artifact that holds the zip file as it came.
const archive = "code.zip"

// setCode makes a request's code that of a version.
func (s *Service) setCode(ctx context.Context, c *wire.Call, v *version, in object) error {
	raw, err := s.zipOf(ctx, c, in)
	if err != nil {
		return err
	}
	code, zipped, err := s.keep(ctx, raw)
	if err != nil {
		return err
	}
	if err := s.checkBootstrap(ctx, v, code); err != nil {
		return err
	}
	v.Code, v.Zip, v.SHA256, v.Size = code, zipped, codeSum(raw), int64(len(raw))
	return nil
}

func codeSum(raw []byte) string {
	sum := sha256.Sum256(raw)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// zipOf is the zip file that a request gives or names.
func (s *Service) zipOf(ctx context.Context, c *wire.Call, in object) ([]byte, error) {
	raw, _ := in["ZipFile"].([]byte)
	switch bucket, key := in.Text("S3Bucket"), in.Text("S3Key"); {
	case len(raw) > 0 && (bucket != "" || key != ""):
		return nil, invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case len(raw) > mostZipped:
		return nil, &wire.Error{Code: "RequestEntityTooLargeException", Status: 413, Message: fmt.Sprintf("Zipped size must be smaller than %d bytes", mostZipped)}
	case in.Has("ZipFile"):
		return raw, nil
	case bucket == "" || key == "":
		return nil, invalid("Please provide a source for function code.")
	}
	target := "/" + url.PathEscape(in.Text("S3Bucket")) + "/" + (&url.URL{Path: in.Text("S3Key")}).EscapedPath()
	if version := in.Text("S3ObjectVersion"); version != "" {
		target += "?versionId=" + url.QueryEscape(version)
	}
	raw, err := s.Services.Object(ctx, *c, "GET", target, nil, nil)
	var e *wire.Error
	if errors.As(err, &e) {
		return nil, invalid("Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: %s", e.Code, e.Message)
	}
	return raw, err
}

// keep puts the content of a zip file, and the file itself, among the artifacts.
func (s *Service) keep(ctx context.Context, raw []byte) (code, zipped artifact.Ref, err error) {
	dir, err := os.MkdirTemp("", "showrunner-function-")
	if err != nil {
		return "", "", problem.Wrap(err, problem.Unavailable, "lambda.code", "making a folder")
	}
	defer os.RemoveAll(dir)
	content, whole := filepath.Join(dir, "content"), filepath.Join(dir, "whole")
	if err := errors.Join(os.Mkdir(content, 0o700), os.Mkdir(whole, 0o700), os.WriteFile(filepath.Join(whole, archive), raw, 0o600)); err != nil {
		return "", "", problem.Wrap(err, problem.Unavailable, "lambda.code", "writing the code")
	}
	if err := unzip(raw, content); err != nil {
		return "", "", err
	}
	if code, _, err = s.Artifacts.PutDir(ctx, content, nil); err != nil {
		return "", "", err
	}
	zipped, _, err = s.Artifacts.PutDir(ctx, whole, nil)
	return code, zipped, err
}

func badZip(why string) error {
	return invalid("Could not unzip uploaded file. Please check your file, then try to upload again.%s", why)
}

// unzip writes the files of a zip file below a folder, and nothing outside of it.
func unzip(raw []byte, dir string) error {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return badZip("")
	}
	if len(z.File) == 0 {
		return invalid("Uploaded file must be a non-empty zip")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "lambda.code", "opening a folder")
	}
	defer root.Close()
	left := int64(mostUnzipped)
	for _, e := range z.File {
		if err := extract(root, e, &left); err != nil {
			return err
		}
	}
	return nil
}

// extract writes one entry; left is how many bytes may still come.
func extract(root *os.Root, e *zip.File, left *int64) error {
	name := filepath.FromSlash(path.Clean(e.Name))
	mode := e.Mode()
	if mode.IsDir() || !mode.IsRegular() && mode&fs.ModeSymlink == 0 {
		return nil // folders come with their files
	}
	if !filepath.IsLocal(name) {
		return badZip(" It holds the path " + e.Name + ".")
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return badZip(" " + e.Name + ": " + err.Error())
	}
	in, err := e.Open()
	if err != nil {
		return badZip(" " + e.Name + ": " + err.Error())
	}
	defer in.Close()
	if mode&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(io.LimitReader(in, 4096))
		if err == nil {
			err = root.Symlink(string(target), name)
		}
		if err != nil {
			return badZip(" " + e.Name + ": " + err.Error())
		}
		return nil
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600|mode.Perm()&0o111)
	if err != nil {
		return badZip(" " + e.Name + ": " + err.Error())
	}
	n, err := io.Copy(f, io.LimitReader(in, *left+1))
	if *left -= n; *left < 0 {
		err = errors.Join(invalid("Unzipped size must be smaller than %d bytes", mostUnzipped), f.Close())
		return err
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return badZip(" " + e.Name + ": " + err.Error())
	}
	return nil
}

// machines are the architectures of programs, as Go names them.
var machines = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm"}

// checkBootstrap refuses a program that was built for another machine.
func (s *Service) checkBootstrap(ctx context.Context, v *version, code artifact.Ref) error {
	if !strings.HasPrefix(v.Settings.Text("Runtime"), "provided") {
		return nil
	}
	const head = 64
	raw, err := s.Artifacts.ReadFile(ctx, code, "bootstrap", mostUnzipped)
	if err != nil || len(raw) < head {
		return nil // a layer may have it; without one the first request says so
	}
	f, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil // a script, or a program of another kind, which the first request shows
	}
	defer f.Close()
	if machine, known := machines[f.Machine]; known && machine != runtime.GOARCH {
		return refused("the program `bootstrap`, which is built for %s; this machine runs %s: build it with GOARCH=%s, or its like", machine, runtime.GOARCH, runtime.GOARCH)
	}
	return nil
}
