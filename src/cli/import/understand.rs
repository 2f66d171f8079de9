//! The first pass of an import: every row of every file is understood before anything is written, and the tags are known.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt, stream};
use historian_proto::v1::{self, GetTagRequest, Tag, tag_service_client::TagServiceClient};
use tokio::sync::mpsc;
use tonic::Code;

use super::{
    fit::{Fit, TextColumns},
    tally::{DRAWN_EVERY, PORTION_ROWS, PORTIONS_WAITING, Reached, TOLD_MAX},
};
use crate::{
    client::{self, ServerChannel},
    progress::Bar,
    sample_file::{LocalTimes, Mistakes, RowsByTag, SampleFile, SampleFileFormat, Settings, TagRows},
    tag::proto_type,
};
use historian_model::{TagName, TagSelection};

/// Tags that are asked for at once.
const LOOKUPS: usize = 32;

/// A file that was understood.
pub struct Understood {
    pub path: PathBuf,
    pub kind: SampleFileFormat,
    /// What the order of its rows tells of repeated hours.
    pub times: LocalTimes,
}

/// What an import may do to the catalog.
pub struct TagCreation {
    pub create: bool,
    /// Tags whose values are texts, whatever they look like.
    pub texts: Option<TagSelection>,
    /// Whether the other new tags may hold words.
    pub words: bool,
}

/// The tags of all files.
pub type TagsByName = HashMap<String, Tag>;

struct Pass {
    channel: ServerChannel,
    new_tags: TagCreation,
    tags: TagsByName,
    fits: HashMap<String, Fit>,
    mistakes: Vec<Mistakes>,
}

/// Reads all files once.
///
/// # Errors
/// When a file cannot be read or is not understood; every mistake is on standard error by then.
pub async fn understand(
    files: &[(PathBuf, SampleFileFormat)],
    settings: &Settings,
    channel: ServerChannel,
    new_tags: TagCreation,
) -> anyhow::Result<(Vec<Understood>, Arc<TagsByName>)> {
    let mut pass = Pass { channel, new_tags, tags: TagsByName::new(), fits: HashMap::new(), mistakes: Vec::new() };
    let mut understood = Vec::with_capacity(files.len());
    for (path, kind) in files {
        let times = pass.file(path.clone(), *kind, settings).await.with_context(|| path.display().to_string())?;
        understood.push(Understood { path: path.clone(), kind: *kind, times });
    }
    pass.decide();
    let count: u64 = pass.mistakes.iter().map(Mistakes::count).sum();
    if count > 0 {
        let mut told = 0;
        let mut mistaken = Vec::new();
        for ((path, kind), mistakes) in files.iter().zip(&mut pass.mistakes).filter(|(_, mistakes)| mistakes.count() > 0) {
            mistaken.push(path.display().to_string());
            if told < TOLD_MAX {
                let lines = mistakes.lines(path, *kind);
                told += lines.len();
                for line in &lines {
                    eprintln!("{line}");
                }
            }
        }
        let shown = if let [one] = &mistaken[..] { one.clone() } else { format!("{} files", mistaken.len()) };
        bail!("{shown}: {count} mistake{}, nothing was written", if count == 1 { "" } else { "s" });
    }
    Ok((understood, Arc::new(pass.tags)))
}

impl Pass {
    async fn file(&mut self, path: PathBuf, kind: SampleFileFormat, settings: &Settings) -> anyhow::Result<LocalTimes> {
        let mut source = SampleFile::open(&path, kind, settings)?;
        let passed_over = source.passed_over();
        if !passed_over.is_empty() {
            eprintln!("{}: ignored columns: {}", path.display(), passed_over.join(", "));
        }
        let total = source.total();
        let reached = Arc::new(Reached::default());
        let (portions, mut read) = mpsc::channel::<RowsByTag>(PORTIONS_WAITING);
        let reading = {
            let reached = reached.clone();
            tokio::task::spawn_blocking(move || {
                let mut mistakes = Mistakes::default();
                loop {
                    let mut portion = RowsByTag::default();
                    let more = source.read(&mut portion, &mut mistakes, PORTION_ROWS);
                    reached.set(source.done());
                    if portions.blocking_send(portion).is_err() || !more {
                        let times = source.into_times(&mut mistakes);
                        return (mistakes, times);
                    }
                }
            })
        };
        let file = self.mistakes.len();
        self.mistakes.push(Mistakes::default());
        let mut bar = if kind == SampleFileFormat::Csv { Bar::new() } else { Bar::of_samples() };
        let mut tick = tokio::time::interval(DRAWN_EVERY);
        loop {
            tokio::select! {
                portion = read.recv() => match portion {
                    Some(portion) => self.portion(file, portion).await?,
                    None => break,
                },
                _ = tick.tick() => bar.show("check", reached.get(), total),
            }
        }
        drop(bar);
        let (mistakes, times) = reading.await.context("the thread that reads ended early")?;
        self.mistakes[file].merge(mistakes);
        Ok(times)
    }

    /// Checks rows against their tags, of which new ones are looked up.
    async fn portion(&mut self, file: usize, portion: RowsByTag) -> anyhow::Result<()> {
        let is_known = |name: &str| self.tags.contains_key(name) || self.fits.contains_key(name);
        let unknown: Vec<String> = portion.tags.iter().map(|rows| rows.name.clone()).filter(|name| !is_known(name)).collect();
        let channel = &self.channel;
        let found: Vec<(String, Option<Tag>)> =
            stream::iter(unknown).map(|name| look_up(channel.clone(), name)).buffer_unordered(LOOKUPS).try_collect().await?;
        let mistakes = &mut self.mistakes[file];
        for (name, tag) in found {
            let line = || portion.tags.iter().find(|rows| rows.name == name).and_then(|rows| rows.rows.first()).map_or(1, |row| row.place);
            if let Some(tag) = tag {
                self.tags.insert(name, tag);
                continue;
            }
            if let Err(error) = TagName::new(&name) {
                mistakes.at(line(), "tag", &error.to_string());
            } else if !self.new_tags.create {
                let reason = format!("there is no tag {name:?}; make it with `historian tag import`, or add --create-tags");
                mistakes.add(line(), &reason);
            }
            self.fits.insert(name, Fit::default());
        }
        for rows in portion.tags {
            if let Some(tag) = self.tags.get(&rows.name) {
                rows.columns(tag, mistakes);
            } else if let Some(fit) = self.fits.get_mut(&rows.name) {
                fit.add(file, &rows, mistakes);
                if let Some(declared) = fit.declared() {
                    rows.columns(&Tag { value_type: proto_type(declared).into(), ..Tag::default() }, mistakes);
                }
            }
        }
        Ok(())
    }

    /// Gives the new tags their types.
    fn decide(&mut self) {
        let mut fits: Vec<(String, Fit)> = self.fits.drain().collect();
        fits.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (name, fit) in fits {
            let is_text = self.new_tags.texts.as_ref().is_some_and(|texts| texts.matches(&name));
            let texts = match is_text {
                true => TextColumns::All,
                false if self.new_tags.words => TextColumns::Words,
                false => TextColumns::No,
            };
            let mistakes = &mut self.mistakes;
            // A tag that must not be made has one mistake already, which is the one that counts.
            let is_told = !self.new_tags.create;
            let tag = fit.decide(&name, texts, |file, found| {
                if !is_told {
                    mistakes[file].merge(found);
                }
            });
            self.tags.insert(name, tag);
        }
    }
}

async fn look_up(channel: ServerChannel, name: String) -> anyhow::Result<(String, Option<Tag>)> {
    match TagServiceClient::new(channel).get_tag(GetTagRequest { name: name.clone() }).await {
        Ok(answer) => Ok((name, answer.into_inner().tag)),
        Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => Ok((name, None)),
        Err(status) => Err(client::refusal(&status)),
    }
}

/// Rows of a portion as the wire has them.
pub fn samples(rows: TagRows, tags: &TagsByName, mistakes: &mut Mistakes) -> Option<v1::TagSamples> {
    let tag = tags.get(&rows.name)?;
    Some(rows.columns(tag, mistakes))
}
