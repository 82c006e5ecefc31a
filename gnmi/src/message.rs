//! The messages of gnmi.proto 0.10.0. Units, meanings and rules are those of the gNMI specification; its sections are named
//! with each message.

use std::collections::BTreeMap;

use crate::extensions::Extension;

/// Names a place in a device's tree (§2.2.2). [`std::fmt::Display`] and [`std::str::FromStr`] are its text form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Path {
    /// Elements as text; superseded by `elem`.
    #[prost(string, repeated, tag = "1")]
    pub element: Vec<String>,
    /// Which schema the path is of; empty is the device's default, mostly `openconfig`.
    #[prost(string, tag = "2")]
    pub origin: String,
    /// From the root downwards.
    #[prost(message, repeated, tag = "3")]
    pub elem: Vec<PathElem>,
    /// The device's name, in a prefix only.
    #[prost(string, tag = "4")]
    pub target: String,
}

/// One step of a path: a node, and of a list the keys of one entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct PathElem {
    /// The node's name, perhaps with its module's prefix.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Name and value of the list's keys.
    #[prost(btree_map = "string, string", tag = "2")]
    pub key: BTreeMap<String, String>,
}

/// A value with its type (§2.2.3).
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypedValue {
    /// The value; a message without one is malformed.
    #[prost(oneof = "typed_value::Value", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14")]
    pub value: Option<typed_value::Value>,
}

/// What a [`TypedValue`] may hold.
pub mod typed_value {
    /// One value. `FloatVal` and `DecimalVal` are superseded by `DoubleVal`, and still sent.
    #[derive(Clone, PartialEq, prost::Oneof)]
    #[expect(missing_docs, reason = "the variants are named by their types")]
    pub enum Value {
        #[prost(string, tag = "1")]
        StringVal(String),
        #[prost(int64, tag = "2")]
        IntVal(i64),
        #[prost(uint64, tag = "3")]
        UintVal(u64),
        #[prost(bool, tag = "4")]
        BoolVal(bool),
        #[prost(bytes, tag = "5")]
        BytesVal(Vec<u8>),
        #[prost(float, tag = "6")]
        FloatVal(f32),
        #[prost(message, tag = "7")]
        DecimalVal(super::Decimal64),
        #[prost(message, tag = "8")]
        LeaflistVal(super::ScalarArray),
        #[prost(message, tag = "9")]
        AnyVal(super::Any),
        #[prost(bytes, tag = "10")]
        JsonVal(Vec<u8>),
        #[prost(bytes, tag = "11")]
        JsonIetfVal(Vec<u8>),
        #[prost(string, tag = "12")]
        AsciiVal(String),
        #[prost(bytes, tag = "13")]
        ProtoBytes(Vec<u8>),
        #[prost(double, tag = "14")]
        DoubleVal(f64),
    }
}

/// `digits` x 10^-`precision`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Decimal64 {
    /// The number without its point.
    #[prost(int64, tag = "1")]
    pub digits: i64,
    /// Digits after the point.
    #[prost(uint32, tag = "2")]
    pub precision: u32,
}

/// The values of a leaf-list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScalarArray {
    /// In the device's order.
    #[prost(message, repeated, tag = "1")]
    pub element: Vec<TypedValue>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// What `value` is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// A message in protobuf's encoding.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A value of the first gNMI versions; superseded by [`TypedValue`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Value {
    /// In the encoding `type`.
    #[prost(bytes = "vec", tag = "1")]
    pub value: Vec<u8>,
    /// How `value` is encoded.
    #[prost(enumeration = "Encoding", tag = "2")]
    pub r#type: i32,
}

/// How values are encoded (§2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[expect(missing_docs, reason = "names of the specification")]
#[repr(i32)]
pub enum Encoding {
    Json = 0,
    Bytes = 1,
    Proto = 2,
    Ascii = 3,
    JsonIetf = 4,
}

/// A failure within an answer; superseded by gRPC's status, and still sent by some devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Error {
    /// gRPC's code.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// What failed.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Details.
    #[prost(message, optional, tag = "3")]
    pub data: Option<Any>,
}

/// Values and removals at one time (§2.1).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Notification {
    /// Nanoseconds since 1970-01-01 UTC.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// Stands before every path below.
    #[prost(message, optional, tag = "2")]
    pub prefix: Option<Path>,
    /// New values.
    #[prost(message, repeated, tag = "4")]
    pub update: Vec<Update>,
    /// Paths that are no longer there.
    #[prost(message, repeated, tag = "5")]
    pub delete: Vec<Path>,
    /// The notification replaces everything below `prefix`.
    #[prost(bool, tag = "6")]
    pub atomic: bool,
}

/// A value and its place.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Update {
    /// Relative to the prefix of the message around it.
    #[prost(message, optional, tag = "1")]
    pub path: Option<Path>,
    /// Superseded by `val`.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Value>,
    /// The value.
    #[prost(message, optional, tag = "3")]
    pub val: Option<TypedValue>,
    /// How many values this one stands for, beside itself.
    #[prost(uint32, tag = "4")]
    pub duplicates: u32,
}

/// Asks what a device can do (§3.2.1).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct CapabilityRequest {}

/// What a device can do (§3.2.2).
#[derive(Clone, PartialEq, prost::Message)]
pub struct CapabilityResponse {
    /// The models that it has.
    #[prost(message, repeated, tag = "1")]
    pub supported_models: Vec<ModelData>,
    /// The encodings that it has.
    #[prost(enumeration = "Encoding", repeated, tag = "2")]
    pub supported_encodings: Vec<i32>,
    /// Its version of gNMI.
    #[prost(string, tag = "3")]
    pub g_nmi_version: String,
}

/// A YANG module (§3.2.3).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ModelData {
    /// The module's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Who publishes it.
    #[prost(string, tag = "2")]
    pub organization: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// Asks for values (§3.3.1).
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetRequest {
    /// Stands before every path.
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Path>,
    /// What to read.
    #[prost(message, repeated, tag = "2")]
    pub path: Vec<Path>,
    /// Which kind of data.
    #[prost(enumeration = "get_request::DataType", tag = "3")]
    pub r#type: i32,
    /// How to encode the answer.
    #[prost(enumeration = "Encoding", tag = "5")]
    pub encoding: i32,
    /// Of which models.
    #[prost(message, repeated, tag = "6")]
    pub use_models: Vec<ModelData>,
}

/// What belongs to a [`GetRequest`].
pub mod get_request {
    /// Which kind of data to read.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[expect(missing_docs, reason = "names of the specification")]
    #[repr(i32)]
    pub enum DataType {
        All = 0,
        Config = 1,
        State = 2,
        Operational = 3,
    }
}

/// The values (§3.3.2): one notification for each path of the request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetResponse {
    /// In the order of the request's paths.
    #[prost(message, repeated, tag = "1")]
    pub notification: Vec<Notification>,
    /// Superseded by gRPC's status.
    #[prost(message, optional, tag = "2")]
    pub error: Option<Error>,
}

/// Changes a device's configuration, as a whole or not at all (§3.4.1).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetRequest {
    /// Stands before every path.
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Path>,
    /// Paths to remove, first.
    #[prost(message, repeated, tag = "2")]
    pub delete: Vec<Path>,
    /// Values that replace all that is below their path, second.
    #[prost(message, repeated, tag = "3")]
    pub replace: Vec<Update>,
    /// Values that are merged, third.
    #[prost(message, repeated, tag = "4")]
    pub update: Vec<Update>,
    /// What the request asks for beside its operations.
    #[prost(message, repeated, tag = "5")]
    pub extension: Vec<Extension>,
    /// Values that replace one configuration of several origins.
    #[prost(message, repeated, tag = "6")]
    pub union_replace: Vec<Update>,
}

/// What became of a [`SetRequest`] (§3.4.2).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SetResponse {
    /// The request's prefix.
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Path>,
    /// One result for each operation of the request.
    #[prost(message, repeated, tag = "2")]
    pub response: Vec<UpdateResult>,
    /// Superseded by gRPC's status.
    #[prost(message, optional, tag = "3")]
    pub message: Option<Error>,
    /// Nanoseconds since 1970-01-01 UTC.
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
    /// What the device says beside its results.
    #[prost(message, repeated, tag = "5")]
    pub extension: Vec<Extension>,
}

/// One operation of a [`SetRequest`], done.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdateResult {
    /// Superseded by the response's time.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// The operation's path.
    #[prost(message, optional, tag = "2")]
    pub path: Option<Path>,
    /// Superseded by gRPC's status.
    #[prost(message, optional, tag = "3")]
    pub message: Option<Error>,
    /// What was done.
    #[prost(enumeration = "update_result::Operation", tag = "4")]
    pub op: i32,
}

/// What belongs to an [`UpdateResult`].
pub mod update_result {
    /// What was done at a path.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[expect(missing_docs, reason = "names of the specification")]
    #[repr(i32)]
    pub enum Operation {
        Invalid = 0,
        Delete = 1,
        Replace = 2,
        Update = 3,
        UnionReplace = 4,
    }
}

/// A message from the client on a Subscribe stream (§3.5.1.1).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeRequest {
    /// The first message subscribes, later ones poll.
    #[prost(oneof = "subscribe_request::Request", tags = "1, 3")]
    pub request: Option<subscribe_request::Request>,
}

/// What belongs to a [`SubscribeRequest`].
pub mod subscribe_request {
    /// What the client wants.
    #[derive(Clone, PartialEq, prost::Oneof)]
    #[expect(missing_docs, reason = "the variants are named by their types")]
    pub enum Request {
        #[prost(message, tag = "1")]
        Subscribe(super::SubscriptionList),
        #[prost(message, tag = "3")]
        Poll(super::Poll),
    }
}

/// Asks for the values of a POLL subscription now (§3.5.1.5.3).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Poll {}

/// A message to the client on a Subscribe stream (§3.5.1.4).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeResponse {
    /// Values, or the word that all values were sent once.
    #[prost(oneof = "subscribe_response::Response", tags = "1, 3, 4")]
    pub response: Option<subscribe_response::Response>,
}

/// What belongs to a [`SubscribeResponse`].
pub mod subscribe_response {
    /// What the server says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    #[expect(missing_docs, reason = "the variants are named by their types")]
    pub enum Response {
        #[prost(message, tag = "1")]
        Update(super::Notification),
        #[prost(bool, tag = "3")]
        SyncResponse(bool),
        #[prost(message, tag = "4")]
        Error(super::Error),
    }
}

/// What to subscribe to, and how (§3.5.1.2).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscriptionList {
    /// Stands before every path.
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Path>,
    /// The paths.
    #[prost(message, repeated, tag = "2")]
    pub subscription: Vec<Subscription>,
    /// DSCP of the answers.
    #[prost(message, optional, tag = "4")]
    pub qos: Option<QosMarking>,
    /// Once, on demand, or for as long as the stream lives.
    #[prost(enumeration = "subscription_list::Mode", tag = "5")]
    pub mode: i32,
    /// Whether values may be put together.
    #[prost(bool, tag = "6")]
    pub allow_aggregation: bool,
    /// Of which models.
    #[prost(message, repeated, tag = "7")]
    pub use_models: Vec<ModelData>,
    /// How to encode values.
    #[prost(enumeration = "Encoding", tag = "8")]
    pub encoding: i32,
    /// Without the values of the start.
    #[prost(bool, tag = "9")]
    pub updates_only: bool,
}

/// What belongs to a [`SubscriptionList`].
pub mod subscription_list {
    /// How long a subscription lives.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[expect(missing_docs, reason = "names of the specification")]
    #[repr(i32)]
    pub enum Mode {
        Stream = 0,
        Once = 1,
        Poll = 2,
    }
}

/// One path of a subscription (§3.5.1.3).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscription {
    /// Relative to the list's prefix.
    #[prost(message, optional, tag = "1")]
    pub path: Option<Path>,
    /// When to send, in a stream.
    #[prost(enumeration = "SubscriptionMode", tag = "2")]
    pub mode: i32,
    /// Nanoseconds.
    #[prost(uint64, tag = "3")]
    pub sample_interval: u64,
    /// Without values that are as before.
    #[prost(bool, tag = "4")]
    pub suppress_redundant: bool,
    /// Nanoseconds after which also a value that is as before is sent.
    #[prost(uint64, tag = "5")]
    pub heartbeat_interval: u64,
}

/// When values are sent in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[expect(missing_docs, reason = "names of the specification")]
#[repr(i32)]
pub enum SubscriptionMode {
    TargetDefined = 0,
    OnChange = 1,
    Sample = 2,
}

/// DSCP of the answers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct QosMarking {
    /// The DSCP value.
    #[prost(uint32, tag = "1")]
    pub marking: u32,
}
