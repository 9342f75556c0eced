package sites

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"strings"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/problem"
)

// wanted is the content of one future object.
type wanted struct {
	object
	archive artifact.Ref // an archive of this artifact instead of one of its files
}

// content lists the objects that the request makes from the artifact.
func (s *Sites) content(ctx context.Context, req driver.PublishRequest) (map[string]wanted, error) {
	c := req.Config
	m, err := s.config.Artifacts.Manifest(ctx, req.Artifact)
	if err != nil {
		return nil, err
	}
	prefix := cleanPrefix(c.Prefix)
	list := make(map[string]wanted, len(m.Entries))
	if c.Archive != "" {
		key := path.Join(prefix, c.Archive)
		w := wanted{object: newObject(key, "archive:"+string(req.Artifact), 0, typeOf(key), cacheControl(c.CacheControl, c.Archive)), archive: req.Artifact}
		return map[string]wanted{key: w}, nil
	}
	for _, e := range expand(m) {
		key := path.Join(prefix, e.Path)
		if err := checkObjectKey(key); err != nil {
			return nil, err
		}
		list[key] = wanted{object: newObject(key, e.Digest, e.Size, typeOf(key), cacheControl(c.CacheControl, e.Path))}
	}
	if len(list) == 0 {
		return nil, problem.New(problem.Invalid, "sites.publish", "artifact %s holds no files; the site would be empty", req.Artifact).
			WithHelp("look at the artifacts section of the build: base-directory and files")
	}
	return list, nil
}

// expand lists the files of an artifact with every link followed, as a copy to
// object storage would do: a link to a file or folder becomes its target, a link
// to nothing is left out.
func expand(m artifact.Manifest) []artifact.Entry {
	var list []artifact.Entry
	for _, e := range m.Entries {
		if e.Link == "" {
			list = append(list, e)
			continue
		}
		if target, ok := m.Resolve(e.Path); ok {
			target.Path = e.Path
			list = append(list, target)
			continue
		}
		for _, below := range m.Entries { // a link to a folder; these are rare
			folder := path.Join(path.Dir(e.Path), e.Link)
			if rest, ok := strings.CutPrefix(below.Path, folder+"/"); ok && below.Link == "" && !strings.HasPrefix(e.Path+"/", folder+"/") {
				below.Path = path.Join(e.Path, rest)
				list = append(list, below)
			}
		}
	}
	return list
}

// newObject names an object by all its properties. The key is part of the name,
// since an S3 client's change of one object must not affect another.
func newObject(key, digest string, size int64, mediaType, cache string) object {
	h := sha256.New()
	for _, s := range []string{key, digest, mediaType, cache} {
		io.WriteString(h, s)
		h.Write([]byte{0})
	}
	return object{ID: hex.EncodeToString(h.Sum(nil)[:20]), Digest: digest, Size: size, Type: mediaType, Cache: cache}
}

func attributes(o object) objectstore.Attributes {
	return objectstore.Attributes{ETag: o.ETag, ContentType: o.Type, CacheControl: o.Cache}
}
