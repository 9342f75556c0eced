package resource

import (
	"encoding/xml"
	"slices"

	"showrunner/awsapi/cloudformation/template"
)

// node is an element of a document of S3.
type node struct {
	name     string
	text     string
	children []node
}

// MarshalXML writes the element; its children stand for its content when there are any.
func (n node) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	start := xml.StartElement{Name: xml.Name{Local: n.name}}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, c := range n.children {
		if err := c.MarshalXML(e, xml.StartElement{}); err != nil {
			return err
		}
	}
	if n.children == nil {
		if err := e.EncodeToken(xml.CharData(n.text)); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

func leaf(name string, v any) node {
	text, _ := template.Text(v)
	return node{name: name, text: text}
}

// rename says what a property is called in the document; a list becomes an
// element for each of its members.
type rename map[string]string

var (
	ownership = rename{"Rules": "Rule"}
	cors      = rename{"CorsRules": "CORSRule", "AllowedHeaders": "AllowedHeader", "AllowedMethods": "AllowedMethod", "AllowedOrigins": "AllowedOrigin",
		"ExposedHeaders": "ExposeHeader", "Id": "ID", "MaxAge": "MaxAgeSeconds"}
	routing = rename{"RedirectRule": "Redirect", "RoutingRuleCondition": "Condition"}
)

// tree is a property as an element, its members in the order of their names.
func tree(name string, v any, names rename) node {
	n := node{name: name}
	m, ok := v.(map[string]any)
	if !ok {
		return leaf(name, v)
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		called := k
		if other, ok := names[k]; ok {
			called = other
		}
		list, ok := m[k].([]any)
		if !ok {
			list = []any{m[k]}
		}
		for _, e := range list {
			n.children = append(n.children, tree(called, e, names))
		}
	}
	return n
}

// website is a bucket's website configuration.
func website(v any) node {
	n := node{name: "WebsiteConfiguration"}
	m := asObject(v)
	if text, ok := m["ErrorDocument"]; ok {
		n.children = append(n.children, node{name: "ErrorDocument", children: []node{leaf("Key", text)}})
	}
	if text, ok := m["IndexDocument"]; ok {
		n.children = append(n.children, node{name: "IndexDocument", children: []node{leaf("Suffix", text)}})
	}
	if to, ok := m["RedirectAllRequestsTo"]; ok {
		n.children = append(n.children, tree("RedirectAllRequestsTo", to, nil))
	}
	if rules, ok := m["RoutingRules"].([]any); ok {
		list := node{name: "RoutingRules"}
		for _, r := range rules {
			list.children = append(list.children, tree("RoutingRule", r, routing))
		}
		n.children = append(n.children, list)
	}
	return n
}
