// Package s3 keeps a registry in an object of Amazon S3, or of a store that speaks its protocol, such as MinIO and Ceph:
// one serialized feast.core.Registry, as Feast does. It is the registry type "file" for paths s3://bucket/path and for the
// store class S3RegistryStore.
//
// Feast's configuration holds: credentials, region, profile and endpoint come from where the AWS SDK looks for them, the
// variable FEAST_S3_ENDPOINT_URL names another endpoint, and s3_additional_kwargs of feature_store.yaml are parameters of
// PutObject.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/blob"
	"github.com/feastgo/feast/registry"
)

func init() {
	registry.Register(registry.Driver{Names: []string{"s3"}, Open: open})
}

// endpointEnv is the variable that Feast reads.
const endpointEnv = "FEAST_S3_ENDPOINT_URL"

// defaultRegion is the region where none is configured; for stores other than Amazon's it is without meaning.
const defaultRegion = "us-east-1"

// Backend is one registry in an object. It implements registry.Backend. Opening it asks the store nothing.
type Backend struct {
	blob  *blob.Registry
	close func()
}

// Options are what is to be done differently from the defaults.
type Options struct {
	// PutParameters are additional parameters of PutObject by the names that the S3 API gives them, which are those of
	// s3_additional_kwargs: "ServerSideEncryption", "SSEKMSKeyId", "ACL" and the like.
	PutParameters map[string]string
}

// New returns the registry in an object of a bucket, read and written through a client of the caller, who keeps it. Its
// endpoint, region and credentials are used; how it retries is not, since an update has to know what became of its write.
//
// The error is a feasterr.ErrInvalid: the options have a parameter that cannot be.
func New(client *s3.Client, bucket, key string, opts Options) (*Backend, error) {
	parameters, err := putParameters(opts.PutParameters)
	if err != nil {
		return nil, err
	}
	place := "s3://" + bucket + "/" + key
	return &Backend{blob.New(place, &object{
		client: client, bucket: bucket, key: key, place: place, parameters: parameters, trying: make(chan struct{}, 1),
	}), func() {}}, nil
}

// Load implements registry.Backend. A registry that has not changed costs one request with an empty answer.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	return b.blob.Load(ctx, have)
}

// Update implements registry.Backend. It reads the object, and replaces it on condition that it is still the same; when
// another writer was quicker, fn runs again on what that one wrote. Feast writes without a condition: a change that it makes
// to what it read before this update overwrites it.
//
// When the store does not answer a write, the object is read back to see whether the write took place, also after ctx
// has ended, and the write is sent again while the object is what it was. Where that does not tell how it ended, the error,
// a feasterr.ErrUnavailable, says that the outcome is unknown: the change may have been stored, or may still be, and fn
// does not run again. After any other error nothing was written.
//
// A store that ignores conditions would lose updates. Unless the endpoint is Amazon's, the conditions are therefore tried
// before they are relied on, each once, by a write that they forbid and that would change nothing: of what the object holds
// already. When the store takes it for a good write, the error is a feasterr.ErrUnsupported, and the registry is what it was.
// For an object that does not exist that can be tried only when it does: a registry that was created on a store that
// ignores conditions holds the change, and the error says so, too.
func (b *Backend) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	return b.blob.Update(ctx, project, fn)
}

// Teardown implements registry.Backend: it removes the object.
func (b *Backend) Teardown(ctx context.Context) error { return b.blob.Teardown(ctx) }

// Close implements registry.Backend. A client that the caller brought keeps its connections.
func (b *Backend) Close() error {
	b.close()
	return nil
}

func open(ctx context.Context, cfg *config.RepoConfig, _ registry.Env) (registry.Backend, error) {
	bucket, key, err := blob.Split("s3", cfg.Registry.Path)
	if err != nil {
		return nil, err
	}
	var more []func(*s3.Options)
	if endpoint := os.Getenv(endpointEnv); endpoint != "" { //nolint:forbidigo // beside what the AWS SDK reads of it
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.User != nil {
			return nil, feasterr.Invalid("environment variable %s is not the URL of a server, http(s)://host:port", endpointEnv)
		}
		more = append(more, func(o *s3.Options) { o.BaseEndpoint = &endpoint })
	}
	clients, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithDefaultRegion(defaultRegion))
	if err != nil {
		return nil, feasterr.Invalid("the configuration of AWS cannot be read: %w", err)
	}
	if clients.Credentials != nil {
		clients.Credentials = identity{clients.Credentials}
	}
	more = append(more, func(o *s3.Options) {
		if o.BaseEndpoint != nil { // other stores rarely have a host name per bucket, and may not know checksums after the body
			o.UsePathStyle = true
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	})
	transport := awshttp.NewBuildableClient().GetTransport()
	if configured, ok := clients.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = configured.GetTransport() // which knows AWS_CA_BUNDLE
	}
	clients.HTTPClient = &http.Client{Transport: transport, CheckRedirect: follow}
	b, err := New(s3.NewFromConfig(clients, more...), bucket, key, Options{PutParameters: cfg.Registry.S3Kwargs})
	if err != nil {
		return nil, err
	}
	b.close = transport.CloseIdleConnections
	return b, nil
}

// follow is http.Client.CheckRedirect, as the SDK's own client has it, whose connections cannot be closed: a request goes
// elsewhere only as it is, and without the token of a session.
func follow(r *http.Request, via []*http.Request) error {
	switch r.Response.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("redirected too often")
	}
	if via[len(via)-1].URL.Host != r.URL.Host {
		r.Header.Del("X-Amz-Security-Token")
	}
	return nil
}

// identity says of errors that they are about credentials.
type identity struct{ aws.CredentialsProvider }

func (i identity) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := i.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: no credentials for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a "+
			"role: %w", feasterr.ErrUnauthenticated, err)
	}
	return c, err
}

// object is the object of a registry. It implements blob.Store.
type object struct {
	client      *s3.Client
	bucket, key string
	place       string
	parameters  s3.PutObjectInput

	region atomic.Pointer[string] // of the bucket, where it is not the client's

	trying          chan struct{} // holds one while a condition is tried
	replace, create trial
}

// condition is one of a write.
type condition struct{ header, value string }

// absent is the condition that there is no object.
var absent = condition{"If-None-Match", "*"}

// wrongTag is no object's entity tag.
const wrongTag = `"00000000000000000000000000000000"`

// trial is what is known about a store and a kind of condition.
type trial struct{ honoured, ignored atomic.Bool }

// options are those of one request.
func (o *object) options(opts *s3.Options) {
	opts.Retryer = aws.NopRetryer{}
	opts.DisableLogOutputChecksumValidationSkipped = true
	if region := o.region.Load(); region != nil {
		opts.Region = *region
	}
}

// Get implements blob.Store.
func (o *object) Get(ctx context.Context, have string) (blob.Object, error) {
	in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key}
	if have != "" {
		in.IfNoneMatch = &have
	}
	out, err := send(o, func() (*s3.GetObjectOutput, error) { return o.client.GetObject(ctx, in, o.options) })
	switch status := statusOf(err); {
	case err == nil:
	case status == http.StatusNotModified:
		return blob.Object{}, blob.ErrUnchanged
	case status == http.StatusNotFound && codeOf(err) != noSuchBucket:
		return blob.Object{}, blob.ErrMissing
	default:
		return blob.Object{}, o.failed("read", "s3:GetObject, and s3:ListBucket to be told when it does not exist", err)
	}
	defer func() { _ = out.Body.Close() }()
	size := int64(-1)
	if out.ContentLength != nil {
		size = *out.ContentLength
	}
	data, err := blob.ReadAll(out.Body, size)
	if err != nil {
		return blob.Object{}, fmt.Errorf("%w: %w", feasterr.ErrUnavailable, stored("read", err))
	}
	if out.ETag == nil || *out.ETag == "" {
		return blob.Object{}, feasterr.Unsupported("%s: the store names no ETag for it, without which changes are not noticed", o.place)
	}
	return blob.Object{Data: data, Version: *out.ETag}, nil
}

// Put implements blob.Store.
func (o *object) Put(ctx context.Context, data []byte, was blob.Object) (string, error) {
	if was.Version != "" {
		if err := o.try(ctx, &o.replace, condition{"If-Match", wrongTag}, was.Data); err != nil {
			return "", err
		}
		return o.put(ctx, data, condition{"If-Match", was.Version})
	}
	if o.create.ignored.Load() {
		return "", ignores(absent)
	}
	version, err := o.put(ctx, data, absent)
	if err != nil {
		return "", err
	}
	// Only what the store ignores counts: the object is there.
	for _, err := range []error{
		o.try(ctx, &o.create, absent, data), o.try(ctx, &o.replace, condition{"If-Match", wrongTag}, data),
	} {
		if errors.Is(err, feasterr.ErrUnsupported) {
			return version, err
		}
	}
	return version, nil
}

// put writes on a condition.
func (o *object) put(ctx context.Context, data []byte, c condition) (string, error) {
	in := o.parameters
	in.Bucket, in.Key, in.ContentLength = &o.bucket, &o.key, aws.Int64(int64(len(data)))
	if c == absent {
		in.IfNoneMatch = &c.value
	} else {
		in.IfMatch = &c.value
	}
	out, err := send(o, func() (*s3.PutObjectOutput, error) {
		in.Body = bytes.NewReader(data)
		return o.client.PutObject(ctx, &in, o.options)
	})
	switch status := statusOf(err); {
	case err == nil:
		return aws.ToString(out.ETag), nil
	case status == http.StatusPreconditionFailed, status == http.StatusConflict,
		status == http.StatusNotFound && c != absent && codeOf(err) != noSuchBucket:
		return "", blob.ErrMoved
	case status == http.StatusNotImplemented:
		return "", feasterr.Unsupported("the store does not know the condition of a write (%s of PutObject), or another of its parameters: %w",
			c.header, stored("write", err))
	}
	return "", o.failed("write", "s3:PutObject", err)
}

// try finds out, once, whether the store honours a condition. data is what the object holds, so that a store which does
// not is harmed no more than by any other write. c must not hold, unless the object was deleted meanwhile: one
// write that succeeds proves nothing, the second does.
func (o *object) try(ctx context.Context, t *trial, c condition, data []byte) error {
	if o.client.Options().BaseEndpoint == nil {
		return nil // Amazon's
	}
	if !t.honoured.Load() && !t.ignored.Load() {
		select {
		case o.trying <- struct{}{}:
			defer func() { <-o.trying }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for n := 0; !t.honoured.Load() && !t.ignored.Load(); n++ {
		_, err := o.put(ctx, data, c)
		switch {
		case err == nil:
			t.ignored.Store(c != absent || n > 0)
		case errors.Is(err, blob.ErrMoved):
			t.honoured.Store(true)
		default:
			return blob.Untouched{Err: err}
		}
	}
	if t.ignored.Load() {
		return ignores(c)
	}
	return nil
}

// ignores is the error for a store that ignores a condition.
func ignores(c condition) error {
	return feasterr.Unsupported("the store ignores the condition of a write (%s of PutObject), without which several writers lose updates: "+
		"use a newer version of it, or keep the registry elsewhere; it can be read as it is", c.header)
}

// Delete implements blob.Store.
func (o *object) Delete(ctx context.Context) error {
	in := &s3.DeleteObjectInput{Bucket: &o.bucket, Key: &o.key}
	_, err := send(o, func() (*s3.DeleteObjectOutput, error) { return o.client.DeleteObject(ctx, in, o.options) })
	if err == nil || statusOf(err) == http.StatusNotFound {
		return nil
	}
	return o.failed("delete", "s3:DeleteObject", err)
}

// send sends a request, and again when the bucket turns out to be in another region.
func send[T any](o *object, request func() (T, error)) (T, error) {
	out, err := request()
	if err != nil && o.moveRegion(err) {
		out, err = request()
	}
	return out, err
}

// moveRegion reports whether an error says that the bucket is in another region, and goes there from now on, as Feast's
// client does.
func (o *object) moveRegion(err error) bool {
	response, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || response.Response == nil {
		return false
	}
	region := response.Response.Header.Get("X-Amz-Bucket-Region")
	switch response.HTTPStatusCode() {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest:
	default:
		return false
	}
	if was := o.region.Load(); region == "" || was != nil && *was == region || was == nil && o.client.Options().Region == region {
		return false
	}
	o.region.Store(&region)
	return true
}

const noSuchBucket = "NoSuchBucket"

var (
	// unknownCallers are the codes for credentials that are wrong or expired.
	unknownCallers = []string{
		"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "NotSignedUp",
		"UnrecognizedClientException",
	}
	// busy are the codes for requests that were refused for their number.
	busy = []string{"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
)

// failed says what an error of the store means. actions are those that the identity needs.
func (o *object) failed(op, actions string, err error) error {
	status, code := statusOf(err), codeOf(err)
	switch {
	case errors.Is(err, feasterr.ErrUnauthenticated):
		return stored(op, err)
	case code == noSuchBucket:
		return blob.MissingBucket(o.bucket, stored(op, err))
	case slices.Contains(unknownCallers, code):
		status = http.StatusUnauthorized
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests:
	case slices.Contains(busy, code):
		status = http.StatusTooManyRequests
	case code == "RequestTimeout":
		status = http.StatusRequestTimeout
	}
	return blob.Answered(status, actions, stored(op, err))
}

func stored(op string, err error) error {
	return &feasterr.StoreError{Store: "registry/s3", Op: op, Err: err}
}

// statusOf returns the status of the answer that an error tells of, 0 when there was none.
func statusOf(err error) int {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
