//! Type information reduced to what the facts are read from. Whatever can be reached from there stays as it is, but
//! structures keep only the members on the way to a field, so little can be reached.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{
    facts::{Sources, sources},
    types::{DATA_SECTION, STRUCT, Type, Types, UNION},
};

/// The file of the reduced type information.
pub(super) fn reduced(full: &Types) -> Result<Vec<u8>> {
    let sources = sources(full)?;
    let mut kept = BTreeMap::new();
    keep(full, &sources, sources.types.iter().copied().collect(), &mut kept)?;
    for sample in samples(full) {
        if !kept.values().any(|ty: &Type| ty.kind() == full.at(sample).map_or(0, Type::kind)) {
            keep(full, &sources, vec![sample], &mut kept)?;
        }
    }
    full.written(&kept)
}

/// Keeps types and all they refer to.
fn keep(full: &Types, sources: &Sources, mut wanted: Vec<u32>, kept: &mut BTreeMap<u32, Type>) -> Result<()> {
    while let Some(id) = wanted.pop() {
        if kept.contains_key(&id) {
            continue;
        }
        let ty = full.at(id)?;
        let ty = match ty.kind() {
            STRUCT | UNION => ty.with_entries(|at| sources.members.contains(&(id, at)))?,
            DATA_SECTION => ty.with_entries(|at| at == 0)?,
            _ => ty.clone(),
        };
        wanted.extend(ty.references()?);
        kept.insert(id, ty);
    }
    Ok(())
}

/// The smallest type of each kind, for the reader must step over all kinds. A kind whose types have entries is not
/// represented by one that has none.
fn samples(full: &Types) -> Vec<u32> {
    let mut smallest: BTreeMap<u32, (bool, usize, u32)> = BTreeMap::new();
    for (id, ty) in full.all() {
        let rank = (ty.length() == 0, ty.length(), id);
        let known = smallest.entry(ty.kind()).or_insert(rank);
        *known = rank.min(*known);
    }
    smallest.into_values().map(|(_, _, id)| id).collect()
}
