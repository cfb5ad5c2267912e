"""The fields of the built-in kinds: names, protobuf numbers, Go types, how strategic patches merge lists.

One table, read by `typed` (JSON -> typed), `protobuf`, `patches` (strategic merge), `fields` and `openapi`.
Holds no behaviour of any kind; our own kinds are described by their models instead.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from msgspec import Struct

from kubechain.resources.kind import Kind

Shape = Literal["one", "list", "map"]


class Field(Struct, frozen=True):
    """A field: `type` is a scalar or the name of a message, `shape` how many of it there are."""

    name: str
    number: int
    type: str
    shape: Shape
    go: str
    """The type's name in the error texts of a Go decoder."""
    merge_key: str | None
    """In a strategic merge patch: "" merges a list as a set, "name" by that key, None replaces it."""


class Message(Struct, frozen=True):
    """A named group of fields; `go` is its name in error texts."""

    name: str
    go: str
    fields: dict[str, Field]
    numbers: dict[int, Field]


SCALARS = frozenset({"string", "bool", "int32", "int64", "bytes", "Time", "MicroTime", "FieldsV1"})

# NAME field=number:type ...  A type is T, []T or {}T, then /x where Go calls it x, +key where patches merge by it.
_TABLE = """
ObjectMeta name=1:string generateName=2:string namespace=3:string selfLink=4:string uid=5:string/types.UID
  resourceVersion=6:string generation=7:int64 creationTimestamp=8:Time deletionTimestamp=9:Time
  deletionGracePeriodSeconds=10:int64 labels=11:{}string annotations=12:{}string
  ownerReferences=13:[]OwnerReference+uid finalizers=14:[]string+ managedFields=17:[]ManagedFieldsEntry
OwnerReference apiVersion=5:string kind=1:string name=3:string uid=4:string/types.UID controller=6:bool
  blockOwnerDeletion=7:bool
ManagedFieldsEntry manager=1:string operation=2:string/v1.ManagedFieldsOperationType apiVersion=3:string
  time=4:Time fieldsType=6:string fieldsV1=7:FieldsV1 subresource=8:string
Secret metadata=1:ObjectMeta immutable=5:bool data=2:{}bytes stringData=4:{}string type=3:string/v1.SecretType
ConfigMap metadata=1:ObjectMeta immutable=4:bool data=2:{}string binaryData=3:{}bytes
Namespace metadata=1:ObjectMeta spec=2:NamespaceSpec status=3:NamespaceStatus
NamespaceSpec finalizers=1:[]string/v1.FinalizerName
NamespaceStatus phase=1:string/v1.NamespacePhase conditions=2:[]NamespaceCondition+type
NamespaceCondition type=1:string/v1.NamespaceConditionType status=2:string/v1.ConditionStatus
  lastTransitionTime=4:Time reason=5:string message=6:string
ServiceAccount metadata=1:ObjectMeta secrets=2:[]ObjectReference+name imagePullSecrets=3:[]LocalObjectReference
  automountServiceAccountToken=4:bool
ObjectReference kind=1:string namespace=2:string name=3:string uid=4:string/types.UID apiVersion=5:string
  resourceVersion=6:string fieldPath=7:string
LocalObjectReference name=1:string
Event metadata=1:ObjectMeta eventTime=2:MicroTime series=3:EventSeries reportingController=4:string
  reportingInstance=5:string action=6:string reason=7:string regarding=8:ObjectReference
  related=9:ObjectReference note=10:string type=11:string deprecatedSource=12:EventSource
  deprecatedFirstTimestamp=13:Time deprecatedLastTimestamp=14:Time deprecatedCount=15:int32
CoreEvent metadata=1:ObjectMeta involvedObject=2:ObjectReference reason=3:string message=4:string
  source=5:EventSource firstTimestamp=6:Time lastTimestamp=7:Time count=8:int32 type=9:string
  eventTime=10:MicroTime series=11:EventSeries action=12:string related=13:ObjectReference
  reportingComponent=14:string reportingInstance=15:string
EventSeries count=1:int32 lastObservedTime=2:MicroTime
EventSource component=1:string host=2:string
Lease metadata=1:ObjectMeta spec=2:LeaseSpec
LeaseSpec holderIdentity=1:string leaseDurationSeconds=2:int32 acquireTime=3:MicroTime renewTime=4:MicroTime
  leaseTransitions=5:int32 strategy=6:string/v1.CoordinatedLeaseStrategy preferredHolder=7:string
Role metadata=1:ObjectMeta rules=2:[]PolicyRule
ClusterRole metadata=1:ObjectMeta rules=2:[]PolicyRule aggregationRule=3:AggregationRule
AggregationRule clusterRoleSelectors=1:[]LabelSelector
LabelSelector matchLabels=1:{}string matchExpressions=2:[]LabelSelectorRequirement
LabelSelectorRequirement key=1:string operator=2:string/v1.LabelSelectorOperator values=3:[]string
FieldSelectorRequirement key=1:string operator=2:string/v1.FieldSelectorOperator values=3:[]string
PolicyRule verbs=1:[]string apiGroups=2:[]string resources=3:[]string resourceNames=4:[]string
  nonResourceURLs=5:[]string
RoleBinding metadata=1:ObjectMeta subjects=2:[]Subject roleRef=3:RoleRef
ClusterRoleBinding metadata=1:ObjectMeta subjects=2:[]Subject roleRef=3:RoleRef
Subject kind=1:string apiGroup=2:string name=3:string namespace=4:string
RoleRef apiGroup=1:string kind=2:string name=3:string
TokenRequest metadata=1:ObjectMeta spec=2:TokenRequestSpec status=3:TokenRequestStatus
TokenRequestSpec audiences=1:[]string expirationSeconds=4:int64 boundObjectRef=3:BoundObjectReference
TokenRequestStatus token=1:string expirationTimestamp=2:Time
BoundObjectReference kind=1:string apiVersion=2:string name=3:string uid=4:string/types.UID
SelfSubjectReview metadata=1:ObjectMeta status=2:SelfSubjectReviewStatus
SelfSubjectReviewStatus userInfo=1:UserInfo
UserInfo username=1:string uid=2:string groups=3:[]string extra=4:{}ExtraValue
ExtraValue items=1:[]string
TokenReview metadata=1:ObjectMeta spec=2:TokenReviewSpec status=3:TokenReviewStatus
TokenReviewSpec token=1:string audiences=2:[]string
TokenReviewStatus authenticated=1:bool user=2:UserInfo audiences=4:[]string error=3:string
SelfSubjectAccessReview metadata=1:ObjectMeta spec=2:SelfSubjectAccessReviewSpec
  status=3:SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec resourceAttributes=1:ResourceAttributes nonResourceAttributes=2:NonResourceAttributes
SubjectAccessReview metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec status=3:SubjectAccessReviewStatus
LocalSubjectAccessReview metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec status=3:SubjectAccessReviewStatus
SubjectAccessReviewSpec resourceAttributes=1:ResourceAttributes nonResourceAttributes=2:NonResourceAttributes
  user=3:string groups=4:[]string extra=5:{}ExtraValue uid=6:string
SubjectAccessReviewStatus allowed=1:bool denied=4:bool reason=2:string evaluationError=3:string
SelfSubjectRulesReview metadata=1:ObjectMeta spec=2:SelfSubjectRulesReviewSpec status=3:SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec namespace=1:string
SubjectRulesReviewStatus resourceRules=1:[]ResourceRule nonResourceRules=2:[]NonResourceRule incomplete=3:bool
  evaluationError=4:string
ResourceRule verbs=1:[]string apiGroups=2:[]string resources=3:[]string resourceNames=4:[]string
NonResourceRule verbs=1:[]string nonResourceURLs=2:[]string
ResourceAttributes namespace=1:string verb=2:string group=3:string version=4:string resource=5:string
  subresource=6:string name=7:string fieldSelector=8:FieldSelectorAttributes
  labelSelector=9:LabelSelectorAttributes
FieldSelectorAttributes rawSelector=1:string requirements=2:[]FieldSelectorRequirement
LabelSelectorAttributes rawSelector=1:string requirements=2:[]LabelSelectorRequirement
NonResourceAttributes path=1:string verb=2:string
DeleteOptions gracePeriodSeconds=1:int64 preconditions=2:Preconditions orphanDependents=3:bool
  propagationPolicy=4:string/v1.DeletionPropagation dryRun=5:[]string
  ignoreStoreReadErrorWithClusterBreakingPotential=6:bool
Preconditions uid=1:string/types.UID resourceVersion=2:string
"""


@cache
def messages() -> dict[str, Message]:
    """Every message by name."""
    table: dict[str, Message] = {}
    for line in _TABLE.strip().replace("\n  ", " ").splitlines():
        name, *columns = line.split()
        fields = [_field(column) for column in columns]
        go = name.removeprefix("Core")
        table[name] = Message(name, go, {f.name: f for f in fields}, {f.number: f for f in fields})
    return table


def message_of(kind: Kind[Any]) -> Message | None:
    """The message that describes a built-in kind; None for our own, whose models do."""
    if kind.ours:
        return None
    if kind.kind == "Event" and not kind.group:
        return messages()["CoreEvent"]
    return messages().get(kind.kind)


def _field(column: str) -> Field:
    name, _, rest = column.partition("=")
    number, _, typed = rest.partition(":")
    typed, plus, key = typed.partition("+")
    shape: Shape = "list" if typed.startswith("[]") else "map" if typed.startswith("{}") else "one"
    type_, _, alias = typed.removeprefix("[]").removeprefix("{}").partition("/")
    item = alias or _GO.get(type_, type_ if type_ in SCALARS else f"v1.{type_}")
    go = {"one": item, "list": f"[]{item}", "map": f"map[string]{item}"}[shape]
    return Field(name, int(number), type_, shape, go, key if plus else None)


_GO = {"bytes": "[]uint8", "Time": "v1.Time", "MicroTime": "v1.MicroTime"}
