//! Scrubs over gRPC: on demand with their findings as they are made, and the state of those that ran.

use std::{ops::ControlFlow, sync::Arc};

use historian_proto::v1::{self, scrub_response::Event};
use tonic::Status;

use super::backup::{Teller, maintenance};
use crate::{Api, status, stream::ResponseStream};
use historian_store::{
    Maintenance,
    scrub::{Damaged, ScrubEvent, ScrubReport},
};

pub fn run(api: &Arc<Api>, request: v1::ScrubRequest) -> Result<ResponseStream<v1::ScrubResponse>, Status> {
    let maintenance = maintenance(api)?;
    let bytes_per_s = (request.bytes_per_s > 0).then_some(request.bytes_per_s);
    Ok(Box::pin(api.upkeep(move |limits, emitter| {
        let message = |event| v1::ScrubResponse { event: Some(event) };
        let mut teller = Teller::new(limits, emitter);
        let report = maintenance.scrub(bytes_per_s, &mut |event| match event {
            ScrubEvent::Progress { family, bytes_done, bytes_total } => {
                teller.tell(family, bytes_done, bytes_total, |progress| message(Event::Progress(progress)))
            }
            // A finding is not dropped for a slow reader.
            ScrubEvent::Found(damaged) if emitter.emit(message(Event::Damage(damage(damaged)))) => ControlFlow::Continue(()),
            ScrubEvent::Found(_) => ControlFlow::Break(()),
        });
        let report = report.map_err(|error| status::from_scrub(&error))?;
        emitter.emit(message(Event::Report(told(&report))));
        Ok(())
    })))
}

/// Scrubs that ran and the one that runs.
pub fn status(maintenance: &Maintenance) -> v1::ScrubStatus {
    let status = maintenance.scrub_status();
    v1::ScrubStatus {
        progress: status.progress.map(|progress| v1::Progress {
            phase: progress.family.to_owned(),
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
        }),
        last: status.last.as_ref().map(told),
    }
}

fn damage(damaged: &Damaged) -> v1::Damage {
    v1::Damage {
        family: damaged.family.clone(),
        tags: damaged.tags.clone(),
        start: damaged.start,
        end: damaged.end,
        message: damaged.message.clone(),
    }
}

fn told(report: &ScrubReport) -> v1::ScrubReport {
    v1::ScrubReport {
        begin_time: report.begun.0,
        end_time: report.ended.0,
        bytes: report.bytes,
        entries: report.entries,
        chunks: report.chunks,
        samples: report.samples,
        damaged: report.damaged,
    }
}
