// Package gcs keeps a registry in an object of Google Cloud Storage: one serialized feast.core.Registry, as Feast does. It
// is the registry type "file" for paths gs://bucket/path and for the store class GCSRegistryStore.
//
// Credentials are Google's application default ones. STORAGE_EMULATOR_HOST names an emulator, as for Google's clients.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/blob"
	"github.com/feastgo/feast/registry"
)

func init() {
	registry.Register(registry.Driver{Names: []string{"gcs"}, Open: open})
}

// Backend is one registry in an object. It implements registry.Backend. Opening it asks the store nothing.
type Backend struct {
	blob  *blob.Registry
	close func() error
}

// New returns the registry in an object of a bucket, read and written through a client of the caller, who keeps it and
// closes it. How the client retries is not used, since an update has to know what became of its write.
func New(client *storage.Client, bucket, name string) *Backend {
	return newBackend(client, bucket, name, func() error { return nil })
}

func newBackend(client *storage.Client, bucket, name string, closing func() error) *Backend {
	o := &object{bucket: client.Bucket(bucket).Retryer(storage.WithPolicy(storage.RetryNever)), name: bucket}
	o.handle = o.bucket.Object(name)
	return &Backend{blob.New("gs://"+bucket+"/"+name, o), closing}
}

// Load implements registry.Backend. A registry that has not changed costs one small request, about the object's
// generation.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	return b.blob.Load(ctx, have)
}

// Update implements registry.Backend. It reads the object, and replaces it on condition that its generation is still the
// same; when another writer was quicker, fn runs again on what that one wrote. Feast writes without a condition: a change
// that it makes to what it read before this update overwrites it. Google takes about one write a second of an object; more
// are slowed down.
//
// When the store does not answer a write, the object is read back to see whether the write took place, also after ctx
// has ended, and the write is sent again while the object is what it was. Where that does not tell how it ended, the error,
// a feasterr.ErrUnavailable, says that the outcome is unknown: the change may have been stored, or may still be, and fn
// does not run again. After any other error nothing was written.
func (b *Backend) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	return b.blob.Update(ctx, project, fn)
}

// Teardown implements registry.Backend: it removes the object.
func (b *Backend) Teardown(ctx context.Context) error { return b.blob.Teardown(ctx) }

// Close implements registry.Backend. A client that the caller brought stays open.
func (b *Backend) Close() error { return b.close() }

func open(ctx context.Context, cfg *config.RepoConfig, _ registry.Env) (registry.Backend, error) {
	bucket, name, err := blob.Split("gs", cfg.Registry.Path)
	if err != nil {
		return nil, err
	}
	client, err := storage.NewClient(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("no credentials for Google Cloud: run gcloud auth application-default login, name a key file in "+
			"GOOGLE_APPLICATION_CREDENTIALS, or give the machine a service account: %w: %w", feasterr.ErrUnauthenticated, stored("open", err))
	}
	return newBackend(client, bucket, name, sync.OnceValue(client.Close)), nil
}

// object is the object of a registry. It implements blob.Store; versions are generations.
type object struct {
	bucket *storage.BucketHandle
	handle *storage.ObjectHandle
	name   string // of the bucket
}

// Get implements blob.Store.
func (o *object) Get(ctx context.Context, have string) (blob.Object, error) {
	if generation, err := strconv.ParseInt(have, 10, 64); err == nil && generation > 0 {
		attrs, err := o.handle.If(storage.Conditions{GenerationNotMatch: generation}).Attrs(ctx)
		switch {
		case conditionFailed(err) || err == nil && attrs.Generation == generation:
			return blob.Object{}, blob.ErrUnchanged
		case err != nil:
			return blob.Object{}, o.missing(ctx, err)
		}
	}
	body, err := o.handle.ReadCompressed(true).NewReader(ctx)
	if err != nil {
		return blob.Object{}, o.missing(ctx, err)
	}
	defer func() { _ = body.Close() }()
	data, err := blob.ReadAll(body, body.Attrs.Size)
	if err != nil {
		return blob.Object{}, fmt.Errorf("%w: %w", feasterr.ErrUnavailable, stored("read", err))
	}
	return blob.Object{Data: data, Version: strconv.FormatInt(body.Attrs.Generation, 10)}, nil
}

// missing says what an error of reading means. Google does not tell a missing bucket from a missing object.
func (o *object) missing(ctx context.Context, err error) error {
	if !errors.Is(err, storage.ErrObjectNotExist) {
		return o.failed("read", "storage.objects.get, and storage.objects.list to be told when it does not exist", err)
	}
	if _, err := o.bucket.Attrs(ctx); errors.Is(err, storage.ErrBucketNotExist) {
		return blob.MissingBucket(o.name, stored("read", err))
	}
	return blob.ErrMissing // also to those who may not ask about the bucket
}

// Put implements blob.Store.
func (o *object) Put(ctx context.Context, data []byte, was blob.Object) (string, error) {
	condition := storage.Conditions{DoesNotExist: true}
	if was.Version != "" {
		generation, err := strconv.ParseInt(was.Version, 10, 64)
		if err != nil {
			return "", err
		}
		condition = storage.Conditions{GenerationMatch: generation}
	}
	w := o.handle.If(condition).NewWriter(ctx)
	w.ChunkSize = 0 // one request
	w.ContentType = "application/octet-stream"
	_, err := w.Write(data)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err == nil:
		return strconv.FormatInt(w.Attrs().Generation, 10), nil
	case conditionFailed(err):
		return "", blob.ErrMoved
	case statusOf(err) == http.StatusNotFound:
		if was.Version != "" {
			return "", blob.ErrMoved // the next reading finds out which of the two is missing
		}
		return "", blob.MissingBucket(o.name, stored("write", err))
	}
	return "", o.failed("write", "storage.objects.create and storage.objects.delete", err)
}

// Delete implements blob.Store.
func (o *object) Delete(ctx context.Context) error {
	err := o.handle.Delete(ctx)
	if err == nil || errors.Is(err, storage.ErrObjectNotExist) {
		return nil
	}
	return o.failed("delete", "storage.objects.delete", err)
}

// failed says what an error of the store means. permissions are those that the identity needs.
func (o *object) failed(op, permissions string, err error) error {
	code := statusOf(err)
	if token, ok := errors.AsType[*auth.Error](err); ok && token.Response != nil && token.Response.StatusCode < 500 {
		code = http.StatusUnauthorized
	}
	return blob.Answered(code, permissions, stored(op, err))
}

func stored(op string, err error) error {
	return &feasterr.StoreError{Store: "registry/gcs", Op: op, Err: err}
}

// conditionFailed reports whether the condition of a request did not hold.
func conditionFailed(err error) bool {
	code := statusOf(err)
	return code == http.StatusPreconditionFailed || code == http.StatusNotModified
}

// statuses are the HTTP statuses of codes of gRPC, which a caller's client may speak.
var statuses = map[codes.Code]int{
	codes.NotFound: http.StatusNotFound, codes.FailedPrecondition: http.StatusPreconditionFailed,
	codes.Unauthenticated: http.StatusUnauthorized, codes.PermissionDenied: http.StatusForbidden,
	codes.ResourceExhausted: http.StatusTooManyRequests, codes.InvalidArgument: http.StatusBadRequest,
	codes.Aborted: http.StatusNotModified,
}

// statusOf returns the status of the answer that an error tells of, 0 when there was none.
func statusOf(err error) int {
	if answer, ok := errors.AsType[*googleapi.Error](err); ok {
		return answer.Code
	}
	if err != nil {
		if s, ok := status.FromError(err); ok {
			return statuses[s.Code()]
		}
	}
	return 0
}
