package artifact

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"time"

	"showrunner/problem"
)

// Format is a form of archive.
type Format string

const (
	Zip   Format = "zip"
	TarGz Format = "tar.gz"
)

// epoch is the modification time of every file in an archive, so that equal
// artifacts give equal archives. It is the earliest time that the zip format can
// express.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// WriteArchive streams an artifact as an archive. When it fails, w holds the
// beginning of a broken archive. Errors: not_found, invalid, internal when damaged.
func (s *Store) WriteArchive(ctx context.Context, ref Ref, format Format, w io.Writer) error {
	m, err := s.Manifest(ctx, ref)
	if err != nil {
		return err
	}
	switch format {
	case Zip:
		return s.writeZip(ctx, m, w)
	case TarGz:
		return s.writeTarGz(ctx, m, w)
	}
	return problem.New(problem.Invalid, "artifact.archive", "unknown format %q; there are %s and %s", format, Zip, TarGz)
}

func (s *Store) writeZip(ctx context.Context, m Manifest, w io.Writer) error {
	out := zip.NewWriter(w)
	for _, e := range m.Entries {
		header := &zip.FileHeader{Name: e.Path, Method: zip.Deflate, Modified: epoch}
		header.SetMode(fs.FileMode(e.Mode))
		if e.Link != "" {
			header.SetMode(fs.ModeSymlink | ModeLink)
			header.Method = zip.Store
		}
		f, err := out.CreateHeader(header)
		if err == nil && e.Link != "" {
			_, err = io.WriteString(f, e.Link)
		} else if err == nil {
			err = s.copyBlob(ctx, f, e)
		}
		if err != nil {
			return problem.Wrap(err, "", "artifact.archive", "%s", e.Path)
		}
	}
	return out.Close()
}

func (s *Store) writeTarGz(ctx context.Context, m Manifest, w io.Writer) error {
	compressed := gzip.NewWriter(w)
	out := tar.NewWriter(compressed)
	for _, e := range m.Entries {
		header := &tar.Header{Name: e.Path, Mode: int64(e.Mode), Size: e.Size, ModTime: epoch, Typeflag: tar.TypeReg}
		if e.Link != "" {
			header.Typeflag, header.Linkname = tar.TypeSymlink, e.Link
		}
		err := out.WriteHeader(header)
		if err == nil && e.Link == "" {
			err = s.copyBlob(ctx, out, e)
		}
		if err != nil {
			return problem.Wrap(err, "", "artifact.archive", "%s", e.Path)
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return compressed.Close()
}
