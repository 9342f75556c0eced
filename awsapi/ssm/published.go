package ssm

import (
	"strings"
	"time"
)

// Published are the parameters that AWS publishes for everybody and that are there
// here too: the value of a name, if there is one.
type Published func(name string) (value string, ok bool)

// publishedPrefix is what the names of published parameters begin with. Nobody can
// put such a parameter.
const publishedPrefix = "/aws/service/"

// Images publishes the names of Amazon Linux: each of them is the built-in image.
func Images(image string) Published {
	return func(name string) (string, bool) {
		return image, strings.HasPrefix(name, publishedPrefix+"ami-amazon-linux-latest/")
	}
}

// published is a parameter that is published.
func (s *service) published(name string) (document, bool) {
	if !strings.HasPrefix(name, publishedPrefix) {
		return document{}, false
	}
	for _, p := range s.public {
		if value, ok := p(name); ok {
			v := version{Number: 1, Type: "String", Value: value, DataType: "aws:ec2:image", Tier: "Standard", Modified: time.Unix(0, 0).UTC()}
			return document{Name: name, Versions: []version{v}}, true
		}
	}
	return document{}, false
}
