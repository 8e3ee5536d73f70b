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
	Failed        = types.Failed
)

// The objects of the registry.

type (
	// Object is [registry.Object].
	Object = registry.Object
	// Project is [registry.Project].
	Project = registry.Project
	// Entity is [registry.Entity].
	Entity = registry.Entity
	// DataSource is [registry.DataSource].
	DataSource = registry.DataSource
	// Field is [registry.Field].
	Field = registry.Field
	// FeatureView is [registry.FeatureView].
	FeatureView = registry.FeatureView
	// StreamFeatureView is [registry.StreamFeatureView].
	StreamFeatureView = registry.StreamFeatureView
	// OnDemandFeatureView is [registry.OnDemandFeatureView].
	OnDemandFeatureView = registry.OnDemandFeatureView
	// LabelView is [registry.LabelView].
	LabelView = registry.LabelView
	// FeatureService is [registry.FeatureService].
	FeatureService = registry.FeatureService
	// FeatureViewProjection is [registry.FeatureViewProjection].
	FeatureViewProjection = registry.FeatureViewProjection
	// SavedDataset is [registry.SavedDataset].
	SavedDataset = registry.SavedDataset
	// ValidationReference is [registry.ValidationReference].
	ValidationReference = registry.ValidationReference
	// Permission is [permissions.Permission].
	Permission = permissions.Permission
	// Snapshot is [registry.Snapshot].
	Snapshot = registry.Snapshot
)

// What definitions are made of; packages registry and permissions have all.

type (
	// Transformation is [registry.Transformation].
	Transformation = registry.Transformation
	// Aggregation is [registry.Aggregation].
	Aggregation = registry.Aggregation
	// FileOptions is [registry.FileOptions].
	FileOptions = registry.FileOptions
	// BigQueryOptions is [registry.BigQueryOptions].
	BigQueryOptions = registry.BigQueryOptions
	// RedshiftOptions is [registry.RedshiftOptions].
	RedshiftOptions = registry.RedshiftOptions
	// SnowflakeOptions is [registry.SnowflakeOptions].
	SnowflakeOptions = registry.SnowflakeOptions
	// PostgresOptions is [registry.PostgresOptions].
	PostgresOptions = registry.PostgresOptions
	// SparkOptions is [registry.SparkOptions].
	SparkOptions = registry.SparkOptions
	// AthenaOptions is [registry.AthenaOptions].
	AthenaOptions = registry.AthenaOptions
	// TrinoOptions is [registry.TrinoOptions].
	TrinoOptions = registry.TrinoOptions
	// KafkaOptions is [registry.KafkaOptions].
	KafkaOptions = registry.KafkaOptions
	// KinesisOptions is [registry.KinesisOptions].
	KinesisOptions = registry.KinesisOptions
	// PushOptions is [registry.PushOptions].
	PushOptions = registry.PushOptions
	// RequestOptions is [registry.RequestOptions].
	RequestOptions = registry.RequestOptions
	// StreamFormat is [registry.StreamFormat].
	StreamFormat = registry.StreamFormat
)

// What applying definitions is told and tells.

type (
	// ApplyRequest is [registry.ApplyRequest].
	ApplyRequest = registry.ApplyRequest
	// Diff is [registry.Diff].
	Diff = registry.Diff
	// Change is [registry.Change].
	Change = registry.Change
	// FieldChange is [registry.FieldChange].
	FieldChange = registry.FieldChange
	// InfraChange is [registry.InfraChange].
	InfraChange = registry.InfraChange
	// Action is [registry.Action].
	Action = registry.Action
)

// The actions.
const (
	ActionUnchanged = registry.ActionUnchanged
	ActionCreate    = registry.ActionCreate
	ActionUpdate    = registry.ActionUpdate
	ActionDelete    = registry.ActionDelete
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
	// NotFoundError is [feasterr.NotFoundError].
	NotFoundError = feasterr.NotFoundError
	// RequestError is [feasterr.RequestError].
	RequestError = feasterr.RequestError
	// TypeMismatchError is [feasterr.TypeMismatchError].
	TypeMismatchError = feasterr.TypeMismatchError
	// SchemaChangedError is [feasterr.SchemaChangedError].
	SchemaChangedError = feasterr.SchemaChangedError
	// StoreError is [feasterr.StoreError].
	StoreError = feasterr.StoreError
	// PartialError is [feasterr.PartialError].
	PartialError = feasterr.PartialError
	// MissingValueError is [feasterr.MissingValueError].
	MissingValueError = feasterr.MissingValueError
	// TransformError is [feasterr.TransformError].
	TransformError = feasterr.TransformError
	// NotLinkedError is [feasterr.NotLinkedError].
	NotLinkedError = feasterr.NotLinkedError
)

// Retryable reports whether the same call may succeed a moment later.
func Retryable(err error) bool { return feasterr.Retryable(err) }
