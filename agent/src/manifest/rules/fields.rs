//! The table: every field of Kubernetes 1.37 that an object may have, and what becomes of it. Data only.
//!
//! When carob learns to do a field, its row moves from `later` to `kept`, and nothing else changes here.

use super::{
    Plain::{Bool, Int, Text},
    Row, Rules, kept, later, never, noted,
    probes::{LIFECYCLE, LIVENESS, READINESS, STARTUP},
};

/// The rows for a Pod.
pub(in super::super) static POD: Rules =
    Rules::of(&[METADATA, SPEC, SECURITY, CONTAINERS, LIVENESS, READINESS, STARTUP, LIFECYCLE, VOLUMES]);
/// The rows for a PersistentVolumeClaim.
pub(in super::super) static CLAIM: Rules = Rules::of(&[METADATA, CLAIM_SPEC]);
/// The rows for a ConfigMap.
pub(in super::super) static CONFIG_MAP: Rules = Rules::of(&[METADATA, CONFIG_DATA]);
/// The rows for a Secret.
pub(in super::super) static SECRET: Rules = Rules::of(&[METADATA, SECRET_DATA]);
/// The rows for a Namespace.
pub(in super::super) static NAMESPACE: Rules = Rules::of(&[METADATA, NAMESPACE_SPEC]);

const ONE_NODE: &str = "this box is the only node";
const NO_ACCOUNTS: &str = "there are no service accounts";
const NO_PRIORITY: &str = "no pod is preempted for another";
const NO_DEVICES: &str = "there are no devices to give out; accepted are cpu, memory and ephemeral-storage";
const POD_LEVEL: &str = "a pod as a whole has cpu, memory and a limit of pids";
const NO_DRIVERS: &str = "no storage drivers run here";
const NETWORK_STORAGE: &str = "mount it on the box and name the directory in a hostPath";
const LOCAL_CLAIM: &str = "a claim is a directory on this box";
const NO_SELINUX: &str = "carob sets no SELinux labels";
const NO_USER_NAMESPACE: &str = "image layers cannot be mapped into a user namespace, and a process that is added later would not enter it";
const PROFILES: &[&str] = &["RuntimeDefault", "Localhost", "Unconfined"];
const NO_EPHEMERAL: &str = "cannot be set for an ephemeral container, as with Kubernetes";
const BOOL: &str = "true or false";
const BASE64: &str = "text in base64, with padding and without line breaks,";
const PORT: &str = "an integer from 1 to 65535";
const TIME: &str = "a time like 2026-01-31T12:00:00Z";
const SECONDS: &str = "a number of 0 or more seconds";

pub(super) const METADATA: &[Row] = &[
    kept("apiVersion"),
    kept("kind"),
    kept("metadata.name"),
    kept("metadata.generateName"),
    kept("metadata.namespace"),
    kept("metadata.labels"),
    kept("metadata.annotations"),
    // The API server's own: on input they have no effect in Kubernetes either.
    kept("metadata.creationTimestamp").needs(TIME),
    kept("metadata.deletionGracePeriodSeconds"),
    kept("metadata.deletionTimestamp").needs(TIME),
    kept("metadata.generation"),
    kept("metadata.managedFields"),
    kept("metadata.resourceVersion"),
    kept("metadata.selfLink"),
    kept("metadata.uid"),
    later("metadata.finalizers"),
    noted("metadata.ownerReferences", "no object is deleted because its owner is"),
];

const SPEC: &[Row] = &[
    kept("status"),
    kept("spec.activeDeadlineSeconds").needs("a number of 1 or more seconds"),
    noted("spec.affinity", ONE_NODE),
    noted("spec.automountServiceAccountToken", NO_ACCOUNTS).unless(&[Bool(false)]),
    kept("spec.dnsConfig.nameservers"),
    kept("spec.dnsConfig.options[].name"),
    kept("spec.dnsConfig.options[].value"),
    kept("spec.dnsConfig.searches"),
    kept("spec.dnsPolicy").one_of(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    // Without Services there is nothing to link to, whatever it says.
    kept("spec.enableServiceLinks"),
    never("spec.ephemeralContainers[].lifecycle", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].livenessProbe", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].ports", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].readinessProbe", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].resizePolicy", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].resources", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].restartPolicy", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].restartPolicyRules", NO_EPHEMERAL),
    never("spec.ephemeralContainers[].startupProbe", NO_EPHEMERAL),
    kept("spec.ephemeralContainers[].targetContainerName"),
    noted("spec.evictionResponders", "no pod is evicted"),
    kept("spec.hostAliases[].hostnames"),
    kept("spec.hostAliases[].ip"),
    kept("spec.hostIPC").needs(BOOL),
    kept("spec.hostNetwork").needs(BOOL),
    kept("spec.hostPID").needs(BOOL),
    never("spec.hostUsers", NO_USER_NAMESPACE).unless(&[Bool(true)]).needs(BOOL),
    kept("spec.hostname"),
    later("spec.hostnameOverride"),
    kept("spec.imagePullSecrets"),
    noted("spec.nodeName", ONE_NODE),
    noted("spec.nodeSelector", ONE_NODE),
    never("spec.os.name", "this is a Linux box").unless(&[Text("linux")]),
    noted("spec.overhead", ONE_NODE),
    noted("spec.preemptionPolicy", NO_PRIORITY),
    noted("spec.priority", NO_PRIORITY).unless(&[Int(0)]),
    noted("spec.priorityClassName", NO_PRIORITY),
    kept("spec.readinessGates[].conditionType"),
    never("spec.resourceClaims", NO_DEVICES),
    never("spec.resources.claims", "claims cannot be set for Resources at pod-level"),
    kept("spec.resources.limits.cpu"),
    kept("spec.resources.limits.memory"),
    kept("spec.resources.limits.pids"),
    never("spec.resources.limits.*", POD_LEVEL),
    kept("spec.resources.requests.cpu"),
    kept("spec.resources.requests.memory"),
    never("spec.resources.requests.*", POD_LEVEL),
    kept("spec.restartPolicy").one_of(&["Always", "OnFailure", "Never"]),
    never("spec.runtimeClassName", "there is one runtime, carob's own"),
    noted("spec.schedulerName", ONE_NODE).unless(&[Text("default-scheduler")]),
    kept("spec.schedulingGates[].name"),
    noted("spec.schedulingGroup", ONE_NODE),
    noted("spec.serviceAccount", NO_ACCOUNTS).unless(&[Text("default")]),
    noted("spec.serviceAccountName", NO_ACCOUNTS).unless(&[Text("default")]),
    kept("spec.setHostnameAsFQDN").needs(BOOL),
    kept("spec.shareProcessNamespace").needs(BOOL),
    kept("spec.subdomain"),
    kept("spec.terminationGracePeriodSeconds").needs(SECONDS),
    noted("spec.tolerations", ONE_NODE),
    noted("spec.topologySpreadConstraints", ONE_NODE),
];

const SECURITY: &[Row] = &[
    kept("spec.securityContext.appArmorProfile.localhostProfile"),
    kept("spec.securityContext.appArmorProfile.type").one_of(PROFILES),
    kept("spec.securityContext.fsGroup"),
    kept("spec.securityContext.fsGroupChangePolicy").one_of(&["Always", "OnRootMismatch"]),
    kept("spec.securityContext.runAsGroup"),
    kept("spec.securityContext.runAsNonRoot").needs(BOOL),
    kept("spec.securityContext.runAsUser"),
    noted("spec.securityContext.seLinuxChangePolicy", NO_SELINUX),
    noted("spec.securityContext.seLinuxOptions", NO_SELINUX),
    kept("spec.securityContext.seccompProfile.localhostProfile"),
    kept("spec.securityContext.seccompProfile.type").one_of(PROFILES),
    kept("spec.securityContext.supplementalGroups"),
    kept("spec.securityContext.supplementalGroupsPolicy").one_of(&["Merge", "Strict"]),
    kept("spec.securityContext.sysctls[].name"),
    kept("spec.securityContext.sysctls[].value"),
    never("spec.securityContext.windowsOptions", "this is a Linux box"),
    kept("spec.containers[].securityContext.allowPrivilegeEscalation").needs(BOOL),
    kept("spec.containers[].securityContext.appArmorProfile.localhostProfile"),
    kept("spec.containers[].securityContext.appArmorProfile.type").one_of(PROFILES),
    kept("spec.containers[].securityContext.capabilities.add"),
    kept("spec.containers[].securityContext.capabilities.drop"),
    kept("spec.containers[].securityContext.privileged").needs(BOOL),
    kept("spec.containers[].securityContext.procMount").one_of(&["Default", "Unmasked"]),
    kept("spec.containers[].securityContext.readOnlyRootFilesystem").needs(BOOL),
    kept("spec.containers[].securityContext.runAsGroup"),
    kept("spec.containers[].securityContext.runAsNonRoot").needs(BOOL),
    kept("spec.containers[].securityContext.runAsUser"),
    noted("spec.containers[].securityContext.seLinuxOptions", NO_SELINUX),
    kept("spec.containers[].securityContext.seccompProfile.localhostProfile"),
    kept("spec.containers[].securityContext.seccompProfile.type").one_of(PROFILES),
    never("spec.containers[].securityContext.windowsOptions", "this is a Linux box"),
];

const CONTAINERS: &[Row] = &[
    kept("spec.containers[].args"),
    kept("spec.containers[].command"),
    kept("spec.containers[].env[].name"),
    kept("spec.containers[].env[].value"),
    kept("spec.containers[].env[].valueFrom.configMapKeyRef"),
    kept("spec.containers[].env[].valueFrom.fieldRef"),
    kept("spec.containers[].env[].valueFrom.fileKeyRef"),
    kept("spec.containers[].env[].valueFrom.resourceFieldRef"),
    kept("spec.containers[].env[].valueFrom.secretKeyRef"),
    kept("spec.containers[].envFrom"),
    kept("spec.containers[].image"),
    kept("spec.containers[].imagePullPolicy").one_of(&["Always", "IfNotPresent", "Never"]),
    kept("spec.containers[].name"),
    kept("spec.containers[].ports[].containerPort").needs(PORT),
    kept("spec.containers[].ports[].hostIP"),
    kept("spec.containers[].ports[].hostPort").needs(PORT),
    kept("spec.containers[].ports[].name"),
    kept("spec.containers[].ports[].protocol").one_of(&["TCP", "UDP", "SCTP"]),
    kept("spec.containers[].resizePolicy[].resourceName").one_of(&["cpu", "memory"]),
    kept("spec.containers[].resizePolicy[].restartPolicy").one_of(&["NotRequired", "RestartContainer"]),
    never("spec.containers[].resources.claims", NO_DEVICES),
    kept("spec.containers[].resources.limits.cpu"),
    kept("spec.containers[].resources.limits.memory"),
    kept("spec.containers[].resources.limits.ephemeral-storage"),
    never("spec.containers[].resources.limits.*", NO_DEVICES),
    kept("spec.containers[].resources.requests.cpu"),
    kept("spec.containers[].resources.requests.memory"),
    noted("spec.containers[].resources.requests.ephemeral-storage", ONE_NODE),
    never("spec.containers[].resources.requests.*", NO_DEVICES),
    kept("spec.containers[].restartPolicy").one_of(&["Always", "OnFailure", "Never"]),
    kept("spec.containers[].restartPolicyRules[].action").one_of(&["Restart", "RestartAllContainers"]),
    kept("spec.containers[].restartPolicyRules[].exitCodes.operator").one_of(&["In", "NotIn"]),
    kept("spec.containers[].restartPolicyRules[].exitCodes.values"),
    kept("spec.containers[].stdin").needs(BOOL),
    kept("spec.containers[].stdinOnce").needs(BOOL),
    kept("spec.containers[].terminationMessagePath"),
    kept("spec.containers[].terminationMessagePolicy").one_of(&["File", "FallbackToLogsOnError"]),
    kept("spec.containers[].tty").needs(BOOL),
    later("spec.containers[].volumeDevices"),
    later("spec.containers[].volumeMounts[].bindMountOptions"),
    kept("spec.containers[].volumeMounts[].mountPath"),
    kept("spec.containers[].volumeMounts[].mountPropagation").one_of(&[
        "None",
        "HostToContainer",
        "Bidirectional",
    ]),
    kept("spec.containers[].volumeMounts[].name"),
    kept("spec.containers[].volumeMounts[].readOnly"),
    kept("spec.containers[].volumeMounts[].recursiveReadOnly").one_of(&["Disabled", "IfPossible", "Enabled"]),
    kept("spec.containers[].volumeMounts[].subPath"),
    kept("spec.containers[].volumeMounts[].subPathExpr"),
    kept("spec.containers[].workingDir"),
];

const VOLUMES: &[Row] = &[
    kept("spec.volumes[].name"),
    kept("spec.volumes[].emptyDir.medium").one_of(&["Memory"]),
    later("spec.volumes[].emptyDir.mode"),
    kept("spec.volumes[].emptyDir.sizeLimit"),
    kept("spec.volumes[].hostPath.path"),
    kept("spec.volumes[].hostPath.type").one_of(&[
        "DirectoryOrCreate",
        "Directory",
        "FileOrCreate",
        "File",
        "Socket",
        "CharDevice",
        "BlockDevice",
    ]),
    kept("spec.volumes[].persistentVolumeClaim.claimName"),
    kept("spec.volumes[].persistentVolumeClaim.readOnly"),
    kept("spec.volumes[].configMap.defaultMode"),
    later("spec.volumes[].configMap.defaultUser"),
    kept("spec.volumes[].configMap.items[].key"),
    kept("spec.volumes[].configMap.items[].mode"),
    kept("spec.volumes[].configMap.items[].path"),
    later("spec.volumes[].configMap.items[].user"),
    kept("spec.volumes[].configMap.name"),
    kept("spec.volumes[].configMap.optional"),
    kept("spec.volumes[].downwardAPI.defaultMode"),
    later("spec.volumes[].downwardAPI.defaultUser"),
    kept("spec.volumes[].downwardAPI.items[].fieldRef"),
    kept("spec.volumes[].downwardAPI.items[].mode"),
    kept("spec.volumes[].downwardAPI.items[].path"),
    kept("spec.volumes[].downwardAPI.items[].resourceFieldRef"),
    later("spec.volumes[].downwardAPI.items[].user"),
    kept("spec.volumes[].image.pullPolicy").one_of(&["Always", "IfNotPresent", "Never"]),
    kept("spec.volumes[].image.reference"),
    kept("spec.volumes[].projected.defaultMode"),
    later("spec.volumes[].projected.defaultUser"),
    never("spec.volumes[].projected.sources[].clusterTrustBundle", "there are no trust bundles").even_empty(),
    kept("spec.volumes[].projected.sources[].configMap.items[].key"),
    kept("spec.volumes[].projected.sources[].configMap.items[].mode"),
    kept("spec.volumes[].projected.sources[].configMap.items[].path"),
    later("spec.volumes[].projected.sources[].configMap.items[].user"),
    kept("spec.volumes[].projected.sources[].configMap.name"),
    kept("spec.volumes[].projected.sources[].configMap.optional"),
    kept("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef"),
    kept("spec.volumes[].projected.sources[].downwardAPI.items[].mode"),
    kept("spec.volumes[].projected.sources[].downwardAPI.items[].path"),
    kept("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef"),
    later("spec.volumes[].projected.sources[].downwardAPI.items[].user"),
    never("spec.volumes[].projected.sources[].podCertificate", "nobody signs certificates here").even_empty(),
    kept("spec.volumes[].projected.sources[].secret.items[].key"),
    kept("spec.volumes[].projected.sources[].secret.items[].mode"),
    kept("spec.volumes[].projected.sources[].secret.items[].path"),
    later("spec.volumes[].projected.sources[].secret.items[].user"),
    kept("spec.volumes[].projected.sources[].secret.name"),
    kept("spec.volumes[].projected.sources[].secret.optional"),
    never("spec.volumes[].projected.sources[].serviceAccountToken", NO_ACCOUNTS).even_empty(),
    kept("spec.volumes[].secret.defaultMode"),
    later("spec.volumes[].secret.defaultUser"),
    kept("spec.volumes[].secret.items[].key"),
    kept("spec.volumes[].secret.items[].mode"),
    kept("spec.volumes[].secret.items[].path"),
    later("spec.volumes[].secret.items[].user"),
    kept("spec.volumes[].secret.optional"),
    kept("spec.volumes[].secret.secretName"),
    never("spec.volumes[].ephemeral", "nothing makes claims for a pod; use a persistentVolumeClaim")
        .even_empty(),
    never("spec.volumes[].gitRepo", "Kubernetes has removed it; clone before the pod starts").even_empty(),
    never("spec.volumes[].csi", NO_DRIVERS).even_empty(),
    never("spec.volumes[].flexVolume", NO_DRIVERS).even_empty(),
    never("spec.volumes[].awsElasticBlockStore", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].azureDisk", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].azureFile", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].cephfs", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].cinder", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].fc", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].flocker", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].gcePersistentDisk", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].glusterfs", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].iscsi", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].nfs", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].photonPersistentDisk", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].portworxVolume", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].quobyte", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].rbd", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].scaleIO", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].storageos", NETWORK_STORAGE).even_empty(),
    never("spec.volumes[].vsphereVolume", NETWORK_STORAGE).even_empty(),
];

const CONFIG_DATA: &[Row] =
    &[kept("binaryData").needs(BASE64).hidden(), kept("data").hidden(), kept("immutable").needs(BOOL)];

const SECRET_DATA: &[Row] = &[
    kept("data").needs(BASE64).hidden(),
    kept("immutable").needs(BOOL),
    kept("stringData").hidden(),
    kept("type"),
];

const NAMESPACE_SPEC: &[Row] = &[kept("spec.finalizers").one_of(&["kubernetes"]), kept("status")];

const CLAIM_SPEC: &[Row] = &[
    kept("status"),
    kept("spec.accessModes").one_of(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]),
    never("spec.dataSource", LOCAL_CLAIM),
    never("spec.dataSourceRef", LOCAL_CLAIM),
    noted("spec.resources.limits", LOCAL_CLAIM),
    noted("spec.resources.requests", "a claim is a directory on this box, its size is not limited"),
    never("spec.selector", "there are no PersistentVolumes to select"),
    noted("spec.storageClassName", LOCAL_CLAIM),
    noted("spec.volumeAttributesClassName", LOCAL_CLAIM),
    never("spec.volumeMode", LOCAL_CLAIM).unless(&[Text("Filesystem")]),
    never("spec.volumeName", "there are no PersistentVolumes to name"),
];
