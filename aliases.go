package feast

import (
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Status says what is known of a value; the zero value is [NotFound].
type Status = types.Status

// The statuses.
const (
	NotFound      = types.NotFound
	Present       = types.Present
	NullValue     = types.NullValue
	OutsideMaxAge = types.OutsideMaxAge
)

// The objects of the registry.

type (
	Object                = registry.Object
	Project               = registry.Project
	Entity                = registry.Entity
	DataSource            = registry.DataSource
	Field                 = registry.Field
	FeatureView           = registry.FeatureView
	StreamFeatureView     = registry.StreamFeatureView
	OnDemandFeatureView   = registry.OnDemandFeatureView
	LabelView             = registry.LabelView
	FeatureService        = registry.FeatureService
	FeatureViewProjection = registry.FeatureViewProjection
	SavedDataset          = registry.SavedDataset
	ValidationReference   = registry.ValidationReference
	Permission            = permissions.Permission
	Snapshot              = registry.Snapshot
)

// Type is the type of a feature.
type Type = types.Type

// The most common types; package types has all.
const (
	Bytes         = types.Bytes
	String        = types.String
	Int32         = types.Int32
	Int64         = types.Int64
	Float32       = types.Float32
	Float64       = types.Float64
	Bool          = types.Bool
	UnixTimestamp = types.UnixTimestamp
	Float32List   = types.Float32List
	StringList    = types.StringList
	Int64List     = types.Int64List
)

// Errors, tested with errors.Is and errors.As; package feasterr has all.
var (
	ErrNotFound        = feasterr.ErrNotFound
	ErrInvalid         = feasterr.ErrInvalid
	ErrConflict        = feasterr.ErrConflict
	ErrDenied          = feasterr.ErrDenied
	ErrUnauthenticated = feasterr.ErrUnauthenticated
	ErrUnavailable     = feasterr.ErrUnavailable
	ErrUnsupported     = feasterr.ErrUnsupported
	ErrClosed          = feasterr.ErrClosed
	ErrPartial         = feasterr.ErrPartial
)

// The typed errors.

type (
	NotFoundError      = feasterr.NotFoundError
	RequestError       = feasterr.RequestError
	TypeMismatchError  = feasterr.TypeMismatchError
	SchemaChangedError = feasterr.SchemaChangedError
	StoreError         = feasterr.StoreError
	PartialError       = feasterr.PartialError
	NotLinkedError     = feasterr.NotLinkedError
)

// Retryable reports whether the same call may succeed a moment later.
func Retryable(err error) bool { return feasterr.Retryable(err) }
