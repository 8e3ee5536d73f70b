package s3

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/feastgo/feast/feasterr"
)

// parameterNames are the parameters of PutObject that s3_additional_kwargs may set. Left out are those that this package
// sets, that describe one body, and the keys of SSE-C, without which Feast could not read the object back.
var parameterNames = []string{
	"ACL", "BucketKeyEnabled", "CacheControl", "ChecksumAlgorithm", "ContentDisposition", "ContentLanguage", "ContentType",
	"ExpectedBucketOwner", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP", "ObjectLockLegalHoldStatus",
	"ObjectLockMode", "RequestPayer", "SSEKMSEncryptionContext", "SSEKMSKeyId", "ServerSideEncryption", "StorageClass", "Tagging",
	"WebsiteRedirectLocation",
}

// putParameters returns a request with the given parameters set. Its fields have the names of the API.
func putParameters(parameters map[string]string) (in s3.PutObjectInput, err error) {
	fields := reflect.ValueOf(&in).Elem()
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if !slices.Contains(parameterNames, name) {
			problems = append(problems, feasterr.Invalid("registry.s3_additional_kwargs.%s is no parameter that may be set; these are: %s",
				name, strings.Join(parameterNames, ", ")))
			continue
		}
		text := parameters[name]
		switch field := fields.FieldByName(name); field.Interface().(type) {
		case *string:
			field.Set(reflect.ValueOf(&text))
		case *bool:
			b, err := strconv.ParseBool(strings.ToLower(text))
			if err != nil {
				problems = append(problems, feasterr.Invalid("registry.s3_additional_kwargs.%s must be true or false", name))
			}
			field.Set(reflect.ValueOf(&b))
		default: // one of several texts, which the store checks
			field.SetString(text)
		}
	}
	return in, errors.Join(problems...)
}
