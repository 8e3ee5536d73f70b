// Command protogen generates the Go messages of the .proto files below a folder, beside each file. It compiles them
// itself and needs no protoc. The stubs of the services that somebody uses go into packages of their own, below that of
// the messages, so that whoever needs messages only does not link gRPC; of other services only the descriptor is
// generated.
//
// Usage:
//
//	protogen [-check] DIR
//
// DIR is the root of the import paths. With -check nothing is written; files that are missing, stale or left over are
// listed, and the exit code is 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// importRoot is the Go import path of DIR: the part of go_package that the paths of the generated files leave out.
const importRoot = "github.com/feastgo/feast/internal/protos"

// services are the files whose services get stubs, and the packages of these, below that of the messages.
var services = map[string]string{
	"feast/registry/RegistryServer.proto": "registrygrpc",
}

func main() {
	check := flag.Bool("check", false, "write nothing, list what is out of date")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: protogen [-check] DIR")
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, check bool) error {
	protos, err := find(dir, ".proto")
	if err != nil {
		return err
	}
	want, err := generate(ctx, dir, protos)
	if err != nil {
		return err
	}
	have, err := find(dir, ".pb.go")
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range have {
		if _, ok := want[name]; ok {
			continue
		}
		if check {
			errs = append(errs, fmt.Errorf("%s belongs to no .proto file: run make generate", name))
		} else {
			errs = append(errs, os.Remove(filepath.Join(dir, name)))
		}
	}
	for name, content := range want {
		file := filepath.Join(dir, filepath.FromSlash(name))
		old, err := os.ReadFile(file)
		if err == nil && bytes.Equal(old, content) {
			continue
		}
		if check {
			errs = append(errs, fmt.Errorf("%s is not what its .proto file generates: run make generate", name))
		} else {
			errs = append(errs, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, content, 0o644))
		}
	}
	return errors.Join(errs...)
}

// find lists the files below dir whose names end in suffix, with slashes and relative to dir, sorted.
func find(dir, suffix string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// generate returns the content of the Go files of the protos, by their names relative to dir.
func generate(ctx context.Context, dir string, protos []string) (map[string][]byte, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{dir},
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, protos...)
	if err != nil {
		return nil, err
	}
	req := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: protos,
		Parameter:      proto.String("module=" + importRoot),
	}
	seen := map[string]bool{}
	for _, file := range files {
		req.ProtoFile = appendFile(req.ProtoFile, seen, file)
	}
	generated := map[string][]byte{}
	if err := plugin(ctx, "protoc-gen-go", req, generated); err != nil {
		return nil, err
	}
	for name, pkg := range services {
		if err := generateStubs(ctx, req, name, pkg, generated); err != nil {
			return nil, fmt.Errorf("services of %s: %w", name, err)
		}
	}
	return generated, nil
}

// generateStubs adds the stubs of a file's services. The plugin puts them into the package of the file's messages; so it is
// given a file that has nothing but the services, imports the real one, and is called by its name afterwards.
func generateStubs(ctx context.Context, all *pluginpb.CodeGeneratorRequest, name, pkg string, generated map[string][]byte) error {
	req := &pluginpb.CodeGeneratorRequest{Parameter: all.Parameter}
	for _, file := range all.ProtoFile {
		if file.GetName() != name {
			req.ProtoFile = append(req.ProtoFile, file)
			continue
		}
		messages := proto.CloneOf(file)
		messages.Service = nil
		stubs := &descriptorpb.FileDescriptorProto{
			Name:       proto.String(path.Join(path.Dir(name), pkg, path.Base(name))),
			Package:    file.Package,
			Syntax:     file.Syntax,
			Dependency: append(slices.Clone(file.Dependency), name),
			Service:    file.Service,
			Options:    &descriptorpb.FileOptions{GoPackage: proto.String(file.GetOptions().GetGoPackage() + "/" + pkg)},
		}
		req.ProtoFile = append(req.ProtoFile, messages, stubs)
		req.FileToGenerate = []string{stubs.GetName()}
	}
	if len(req.FileToGenerate) == 0 {
		return errors.New("there is no such file")
	}
	made := map[string][]byte{}
	if err := plugin(ctx, "protoc-gen-go-grpc", req, made); err != nil {
		return err
	}
	for to, content := range made {
		generated[to] = bytes.ReplaceAll(content, []byte(req.FileToGenerate[0]), []byte(name))
	}
	return nil
}

// plugin runs a plugin of protoc and adds the files it makes to generated.
func plugin(ctx context.Context, name string, req *pluginpb.CodeGeneratorRequest, generated map[string][]byte) error {
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", name)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return fmt.Errorf("answer of %s: %w", name, err)
	}
	if resp.Error != nil {
		return fmt.Errorf("%s: %s", name, resp.GetError())
	}
	for _, file := range resp.File {
		generated[file.GetName()] = []byte(file.GetContent())
	}
	return nil
}

// appendFile appends the file after everything that it imports, each file once: the order that plugins rely on.
func appendFile(
	dst []*descriptorpb.FileDescriptorProto, seen map[string]bool, file protoreflect.FileDescriptor,
) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return dst
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		dst = appendFile(dst, seen, imports.Get(i).FileDescriptor)
	}
	return append(dst, protoutil.ProtoFromFileDescriptor(file))
}
