// Package protos is the root of the import paths of Feast's protobuf files. The messages generated from them are the
// packages below it. Stubs of services, which need gRPC, are packages of their own, registrygrpc for one; services that
// nobody uses are in the descriptors only.
//
// The files are registered under Feast's own paths and full names. A program that also links Feast's own Go module
// registers each of them twice, which the protobuf runtime answers with a panic at start.
package protos
