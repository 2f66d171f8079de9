//! What each method of the gRPC port takes. Who calls a method that is not in the list is nobody, who may do nothing: a new one needs a line here.

use std::{collections::BTreeMap, sync::OnceLock};

use historian_access::Right;

/// What a method takes of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodNeed {
    /// Not even that it is known who calls.
    Nothing,
    /// That it is known who calls; what is asked for decides the rest.
    Known,
    /// A right on some tag at least. On which ones is asked where tags are looked up.
    Has(Right),
}

use MethodNeed::{Has, Known, Nothing};
use Right::{Administer, Audit, Configure, Correct, Read, Write};

/// Service, method, need.
const METHODS: [(&str, &[(&str, MethodNeed)]); 12] = [
    // Supervisors and load balancers ask without a name, and learn whether the historian serves.
    ("grpc.health.v1.Health", &[("Check", Nothing), ("Watch", Nothing)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Known)]),
    ("grpc.reflection.v1alpha.ServerReflection", &[("ServerReflectionInfo", Known)]),
    (
        "historian.v1.TagService",
        &[
            ("CreateTag", Has(Configure)),
            ("GetTag", Has(Read)),
            ("ListTags", Has(Read)),
            ("UpdateTag", Has(Configure)),
            ("RenameTag", Has(Configure)),
            ("RetypeTag", Has(Configure)),
            ("DeleteTag", Has(Configure)),
        ],
    ),
    (
        "historian.v1.WriteService",
        &[("WriteSamples", Has(Write)), ("WriteSamplesStream", Has(Write)), ("DeleteRange", Has(Correct)), ("ReplaceRange", Has(Correct))],
    ),
    (
        "historian.v1.QueryService",
        &[
            ("CurrentValues", Has(Read)),
            ("Range", Has(Read)),
            ("Superseded", Has(Read)),
            ("Aggregate", Has(Read)),
            ("Downsample", Has(Read)),
            ("Anomalies", Has(Read)),
            ("ListDetectors", Known),
            ("Measure", Has(Read)),
            ("AsOf", Has(Read)),
            ("Subscribe", Has(Read)),
        ],
    ),
    ("historian.v1.AccessService", &[("WhoAmI", Known)]),
    (
        "historian.v1.AnnotationService",
        &[
            ("CreateAnnotation", Has(Write)),
            ("UpdateAnnotation", Has(Write)),
            ("DeleteAnnotation", Has(Write)),
            ("ListAnnotations", Has(Read)),
        ],
    ),
    ("historian.v1.ViewService", &[("SaveView", Has(Read)), ("DeleteView", Has(Read)), ("ListViews", Has(Read))]),
    (
        "historian.v1.CollectorService",
        &[
            // Whoever administers is told all of the devices, and who may read what is of their tags.
            ("GetStatus", Known),
            ("ListTagStatus", Has(Read)),
        ],
    ),
    (
        "historian.v1.AdminService",
        &[
            ("GetServerStatus", Has(Administer)),
            ("Compact", Has(Administer)),
            ("CreateBackup", Has(Administer)),
            ("ListBackups", Has(Administer)),
            ("VerifyBackup", Has(Administer)),
            ("Scrub", Has(Administer)),
            ("InspectTags", Has(Administer)),
            ("ListAuditEntries", Has(Audit)),
            ("GetAuditHead", Has(Audit)),
            ("ExportAuditLog", Has(Audit)),
            ("ListGaps", Has(Read)),
            ("Reload", Has(Administer)),
        ],
    ),
    (
        "arrow.flight.protocol.FlightService",
        &[
            // Its credentials may be in its messages; it checks them itself.
            ("Handshake", Nothing),
            ("ListFlights", Has(Read)),
            ("GetFlightInfo", Has(Read)),
            ("PollFlightInfo", Has(Read)),
            ("GetSchema", Has(Read)),
            ("DoGet", Has(Read)),
            // Samples that are written, or parameters of a statement that reads.
            ("DoPut", Known),
            ("DoExchange", Has(Read)),
            ("DoAction", Known),
            ("ListActions", Known),
        ],
    ),
];

/// What a method takes, by its path; `None` for one that there is not.
pub fn need(path: &str) -> Option<MethodNeed> {
    static NEEDS: OnceLock<BTreeMap<String, MethodNeed>> = OnceLock::new();
    let needs = NEEDS.get_or_init(|| {
        let all =
            METHODS.iter().flat_map(|(service, methods)| methods.iter().map(move |(method, need)| (format!("/{service}/{method}"), *need)));
        all.collect()
    });
    needs.get(path).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every method that is served has its line, and no line is of none.
    #[test]
    fn every_method_has_its_need() {
        let mut served: BTreeSet<String> = crate::metrics::methods().into_iter().map(|method| format!("/{method}")).collect();
        for descriptors in [
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            for file in FileDescriptorSet::decode(descriptors).unwrap().file {
                for service in &file.service {
                    served.extend(service.method.iter().map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
                }
            }
        }
        let listed: BTreeSet<String> =
            METHODS.iter().flat_map(|(service, methods)| methods.iter().map(move |(method, _)| format!("/{service}/{method}"))).collect();
        assert_eq!(listed.symmetric_difference(&served).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(need("/historian.v1.WriteService/DeleteRange"), Some(Has(Correct)));
        assert_eq!(need("/historian.v1.WriteService/Nothing"), None);
    }

    /// Without a name one learns whether the historian serves, and no more.
    #[test]
    fn only_health_and_the_handshake_are_open_to_everybody() {
        let open: Vec<String> = METHODS
            .iter()
            .flat_map(|(service, methods)| {
                methods.iter().filter(|(_, need)| *need == Nothing).map(move |(method, _)| format!("{service}/{method}"))
            })
            .collect();
        let expected = ["Health/Check", "Health/Watch"].map(|method| format!("grpc.health.v1.{method}"));
        assert_eq!(open[..2], expected);
        assert_eq!(open[2..], ["arrow.flight.protocol.FlightService/Handshake"]);
    }
}
