package importer

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"unicode"
)

// edge is the default address at which `showrunner up` shows sites.
const edge = "localhost:8080"

func siteHost(site string) string { return site + "." + edge }

// kebab writes "NetflixDemoBucket" as "netflix-demo-bucket".
func kebab(s string) string {
	var b strings.Builder
	runes := []rune(brands.Replace(s))
	for i, r := range runes {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLower(r) || unicode.IsDigit(r)):
			b.WriteRune(r)
		case r < unicode.MaxASCII && unicode.IsUpper(r):
			startsWord := i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]) ||
				(i+1 < len(runes) && unicode.IsLower(runes[i+1]) && unicode.IsUpper(runes[i-1])))
			if startsWord {
				b.WriteByte('-')
			}
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteByte('-')
		}
	}
	return strings.Trim(dashes.ReplaceAllString(b.String(), "-"), "-")
}

// brands are words with capital letters inside.
var brands = strings.NewReplacer("GitHub", "Github", "GitLab", "Gitlab", "CodeBuild", "Codebuild", "CodeCommit", "Codecommit",
	"CloudFront", "Cloudfront", "CloudFormation", "Cloudformation")

var dashes = regexp.MustCompile(`-+`)

// slug is a name for the pipeline file: letters, digits and dashes, starting
// with a letter, not longer than limit.
func slug(s, fallback string, limit int) string {
	k := kebab(reference.ReplaceAllString(s, "x"))
	if k == "" {
		k = fallback
	}
	if k[0] >= '0' && k[0] <= '9' {
		k = fallback[:1] + "-" + k
	}
	if len(k) > limit {
		k = strings.Trim(k[:limit-9], "-") + "-" + nameHash(k)
	}
	return k
}

// ownName is slug for a document of somewhere else; one of this machine keeps its
// names as far as a name here can hold them.
func (in *input) ownName(s, fallback string, limit int) string {
	if in.opts.Here && plainName.MatchString(s) {
		return s
	}
	return slug(s, fallback, limit)
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func siteName(bucket string) string { return slug(bucket, "site", 63) }

// nameHash is a stable hash of eight characters that distinguishes long names.
func nameHash(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}

var notIdentifier = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// identifier is a name that an expression can use after a dot.
func identifier(s string) string {
	s = strings.Trim(notIdentifier.ReplaceAllString(s, "_"), "_")
	if s == "" {
		return "value"
	}
	if s[0] >= '0' && s[0] <= '9' {
		s = "_" + s
	}
	return s
}

// unique makes a name that is not in taken, and adds it.
func unique(taken map[string]bool, name string) string {
	candidate := name
	for n := 2; taken[candidate]; n++ {
		candidate = fmt.Sprintf("%s-%d", name, n)
	}
	taken[candidate] = true
	return candidate
}
