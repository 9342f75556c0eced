package ec2

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

// instanceType is what an instance type gives a program.
type instanceType struct {
	name   string
	cpus   int
	memory int // MiB
}

// instanceTypes are the types that are known, in AWS's sizes. Memory is a limit of
// the process; processors are not divided.
func instanceTypes() []instanceType {
	sizes := []struct {
		size   string
		cpus   int
		memory int
	}{{"nano", 2, 512}, {"micro", 2, 1024}, {"small", 2, 2048}, {"medium", 2, 4096}, {"large", 2, 8192}, {"xlarge", 4, 16384}, {"2xlarge", 8, 32768}}
	var out []instanceType
	for _, family := range []string{"t2", "t3", "t3a", "t4g"} {
		for _, z := range sizes {
			out = append(out, instanceType{family + "." + z.size, z.cpus, z.memory})
		}
	}
	for _, family := range []struct {
		name   string
		memory int // MiB a processor
	}{{"m4", 4096}, {"m5", 4096}, {"m5a", 4096}, {"m6i", 4096}, {"m6g", 4096}, {"m7i", 4096}, {"m7g", 4096}, {"c5", 2048}, {"c6i", 2048}, {"c6g", 2048}, {"c7g", 2048}, {"c7i", 2048}, {"r5", 8192}, {"r6i", 8192}, {"r6g", 8192}, {"r7g", 8192}} {
		for n, size := range []string{"large", "xlarge", "2xlarge", "4xlarge"} {
			out = append(out, instanceType{family.name + "." + size, 2 << n, family.memory * (2 << n)})
		}
	}
	return append(out, instanceType{"m1.small", 1, 1740}, instanceType{"m5.metal", 96, 393216})
}

// defaultType is that of an instance that names none, as AWS has it.
const defaultType = "m1.small"

func findType(name string) (instanceType, error) {
	all := instanceTypes()
	at := slices.IndexFunc(all, func(t instanceType) bool { return t.name == name })
	if at < 0 {
		return instanceType{}, wire.Errorf("InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
	}
	return all[at], nil
}

// architecture is this machine's, by AWS's name.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

func (t instanceType) told() object {
	family, _, _ := strings.Cut(t.name, ".")
	return object{
		"InstanceType": t.name, "CurrentGeneration": family != "m1" && family != "t2" && family != "m4", "BareMetal": strings.HasSuffix(t.name, "metal"),
		"Hypervisor": "nitro", "VCpuInfo": object{"DefaultVCpus": t.cpus, "DefaultCores": max(1, t.cpus/2), "DefaultThreadsPerCore": min(2, t.cpus)},
		"MemoryInfo":               object{"SizeInMiB": t.memory},
		"ProcessorInfo":            object{"SupportedArchitectures": []any{architecture()}},
		"SupportedUsageClasses":    []any{"on-demand"},
		"SupportedRootDeviceTypes": []any{"ebs"}, "SupportedVirtualizationTypes": []any{"hvm"}, "BurstablePerformanceSupported": strings.HasPrefix(family, "t"),
	}
}

func (s *Service) describeTypes(_ context.Context, _ *wire.Call, in object) (object, error) {
	var out []object
	for _, t := range instanceTypes() {
		out = append(out, t.told())
	}
	if want := in.Texts("InstanceTypes"); len(want) > 0 {
		for _, name := range want {
			if _, err := findType(name); err != nil {
				return nil, wire.Errorf("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
			}
		}
		out = slices.DeleteFunc(out, func(o object) bool { return !slices.Contains(want, o.Text("InstanceType")) })
	}
	out, err := filters(in, documented("DescribeInstanceTypes", named("InstanceType", "CurrentGeneration", "BareMetal", "Hypervisor", "processor-info.supported-architecture=ProcessorInfo.SupportedArchitectures",
		"vcpu-info.default-vcpus=VCpuInfo.DefaultVCpus", "memory-info.size-in-mib=MemoryInfo.SizeInMiB", "burstable-performance-supported=BurstablePerformanceSupported",
		"supported-virtualization-type=SupportedVirtualizationTypes", "supported-usage-class=SupportedUsageClasses", "supported-root-device-type=SupportedRootDeviceTypes", "supported-boot-mode=SupportedBootModes",
		"vcpu-info.default-cores=VCpuInfo.DefaultCores", "vcpu-info.default-threads-per-core=VCpuInfo.DefaultThreadsPerCore")), out)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b object) int { return cmp.Compare(a.Text("InstanceType"), b.Text("InstanceType")) })
	return answer(in, "InstanceTypes", out, by("InstanceType"))
}

func memoryText(mebibytes int) string { return strconv.Itoa(mebibytes) + "MiB" }
