package codebuild

import "showrunner/awsapi/wire"

// curatedImages are AWS's own images: builds that name one run as processes of this machine.
func curatedImages() wire.Object {
	platform := func(name string, images ...string) wire.Object {
		var list []any
		for _, i := range images {
			list = append(list, wire.Object{"name": i, "description": "runs with the tools of this machine", "versions": []any{i}})
		}
		return wire.Object{"platform": name, "languages": []any{wire.Object{"language": "BASE", "images": list}}}
	}
	return wire.Object{"platforms": []any{
		platform("AMAZON_LINUX_2", "aws/codebuild/amazonlinux-x86_64-standard:5.0", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
		platform("UBUNTU", "aws/codebuild/standard:5.0", "aws/codebuild/standard:6.0", "aws/codebuild/standard:7.0"),
	}}
}
