package sites

import (
	"path"
	"regexp"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"showrunner/pipeline"
)

// types maps extensions to media types. The list is part of the program, so that
// it does not differ between systems.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".xhtml": "application/xhtml+xml; charset=utf-8",
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".cjs": "text/javascript; charset=utf-8", ".json": "application/json; charset=utf-8", ".map": "application/json; charset=utf-8",
	".jsonld": "application/ld+json; charset=utf-8", ".webmanifest": "application/manifest+json; charset=utf-8",
	".xml": "application/xml; charset=utf-8", ".rss": "application/rss+xml; charset=utf-8", ".atom": "application/atom+xml; charset=utf-8",
	".xsl": "application/xslt+xml; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".text": "text/plain; charset=utf-8",
	".log": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".tsv": "text/tab-separated-values; charset=utf-8", ".ics": "text/calendar; charset=utf-8", ".vtt": "text/vtt; charset=utf-8",
	".yaml": "application/yaml; charset=utf-8", ".yml": "application/yaml; charset=utf-8", ".toml": "application/toml; charset=utf-8",
	".svg": "image/svg+xml; charset=utf-8", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
	".webp": "image/webp", ".avif": "image/avif", ".jxl": "image/jxl", ".ico": "image/x-icon", ".bmp": "image/bmp", ".tif": "image/tiff",
	".tiff": "image/tiff", ".apng": "image/apng", ".heic": "image/heic",
	".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".otf": "font/otf", ".eot": "application/vnd.ms-fontobject",
	".wasm": "application/wasm", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg",
	".wav": "audio/wav", ".flac": "audio/flac", ".aac": "audio/aac", ".weba": "audio/webm", ".mp4": "video/mp4", ".m4v": "video/mp4",
	".webm": "video/webm", ".ogv": "video/ogg", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".m3u8": "application/vnd.apple.mpegurl",
	".ts": "video/mp2t", ".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip",
	".tar": "application/x-tar", ".bz2": "application/x-bzip2", ".xz": "application/x-xz", ".7z": "application/x-7z-compressed",
	".zst": "application/zstd", ".rtf": "application/rtf", ".doc": "application/msword", ".xls": "application/vnd.ms-excel",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", ".epub": "application/epub+zip",
	".glb": "model/gltf-binary", ".gltf": "model/gltf+json", ".geojson": "application/geo+json",
}

// typeOf is the media type of an object by its key.
func typeOf(key string) string {
	if t, ok := types[strings.ToLower(path.Ext(key))]; ok {
		return t
	}
	return "application/octet-stream"
}

var documents = map[string]bool{
	".html": true, ".htm": true, ".xhtml": true, ".xml": true, ".rss": true, ".atom": true,
	".json": true, ".webmanifest": true, ".appcache": true, ".txt": true,
}

var worker = regexp.MustCompile(`(?i)(^|[-_./])(sw|service-?worker)\.m?js$`)

// isDocument says whether an object refers to others: pages, feeds, manifests and
// service workers are placed after the objects that they refer to.
func isDocument(key string) bool {
	return documents[strings.ToLower(path.Ext(key))] || worker.MatchString(key)
}

// isPage says whether browsers display the object as a page.
func isPage(key string) bool {
	switch strings.ToLower(path.Ext(key)) {
	case ".html", ".htm", ".xhtml":
		return true
	}
	return false
}

// isPageAsset says whether a page loads the object automatically.
func isPageAsset(key string) bool {
	key = strings.TrimSuffix(strings.TrimSuffix(key, ".br"), ".gz")
	if isDocument(key) {
		return false
	}
	switch ext := strings.ToLower(path.Ext(key)); ext {
	case ".css", ".js", ".mjs", ".cjs", ".map", ".wasm", ".eot":
		return true
	default:
		t := types[ext]
		return strings.HasPrefix(t, "image/") || strings.HasPrefix(t, "font/") ||
			strings.HasPrefix(t, "audio/") || strings.HasPrefix(t, "video/")
	}
}

const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache" // stored by browsers, but revalidated each time, which is cheap with the ETag
)

// cacheControl is the value of the first rule that matches the path within the
// artifact. Without a rule, objects with a content hash in their name never
// change, and all others may.
func cacheControl(rules []pipeline.CacheRule, name string) string {
	for _, r := range rules {
		if ok, _ := doublestar.Match(r.Files, name); ok {
			return r.Value
		}
	}
	if isHashed(name) {
		return cacheForever
	}
	return cacheNever
}

// Folders whose contents never change, by the promise of the framework that
// writes them.
var immutableFolder = regexp.MustCompile(`(^|/)(_next/static|_app/immutable)/`)

var (
	hexHash   = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
	upperHash = regexp.MustCompile(`^[A-Z2-7]{8}$`)
	mixedHash = regexp.MustCompile(`^[A-Za-z0-9_-]{8,24}$`)
)

// isHashed says whether the name of a page asset contains a hash of its content,
// as bundlers write it: app.3f9a1c2b.js, index-BxK3f9Zq.css, chunk-5DQMZ7VN.js. A
// wrong true makes browsers keep an old file, a wrong false costs a revalidation:
// in doubt it is false.
func isHashed(key string) bool {
	if !isPageAsset(key) {
		return false
	}
	if immutableFolder.MatchString(key) {
		return true
	}
	base := path.Base(strings.TrimSuffix(strings.TrimSuffix(key, ".br"), ".gz"))
	stem, rest, ok := strings.Cut(base, ".")
	if !ok {
		return false
	}
	parts := strings.Split(rest, ".")
	for _, p := range parts[:len(parts)-1] { // app.<hash>.js, app.<hash>.chunk.js
		if looksRandom(p) {
			return true
		}
	}
	for i, c := range stem { // app-<hash>.js; the hash may hold - and _ itself
		if (c == '-' || c == '_') && looksRandom(stem[i+1:]) {
			return true
		}
	}
	return hexHash.MatchString(stem) && len(stem) >= 16 && looksRandom(stem)
}

func looksRandom(s string) bool {
	digits, letters := strings.ContainsAny(s, "0123456789"), strings.ContainsAny(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz")
	switch {
	case hexHash.MatchString(s), upperHash.MatchString(s):
		return digits && letters
	case mixedHash.MatchString(s):
		n := changes(s)
		return len(s) == 8 && (n >= 4 || n >= 3 && digits) || len(s) > 8 && digits && n >= len(s)/2
	}
	return false
}

// changes counts how often the kind of character changes within s: rarely in
// words, often in hashes.
func changes(s string) int {
	kind := func(c byte) int {
		switch {
		case c >= 'a' && c <= 'z':
			return 0
		case c >= 'A' && c <= 'Z':
			return 1
		case c >= '0' && c <= '9':
			return 2
		}
		return 3
	}
	n := 0
	for i := 1; i < len(s); i++ {
		if kind(s[i]) != kind(s[i-1]) {
			n++
		}
	}
	return n
}
