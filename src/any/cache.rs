//! What was compiled for one field is kept for the next one like it.

use crate::error::Result;
use crate::lattice::Lattice;
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

/// The last thing that was compiled, with the lattice that it is for.
#[derive(Default)]
pub struct Cache(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

struct Kept<T> {
    lattice: Arc<Lattice>,
    value: Arc<T>,
}

impl Cache {
    /// What was kept, if it is of this type and for this lattice; otherwise what `make` makes.
    pub fn get<T: Send + Sync + 'static>(
        &self,
        lattice: &Arc<Lattice>,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.as_ref().and_then(|kept| kept.downcast_ref::<Kept<T>>());
        if let Some(kept) = kept.filter(|kept| Arc::ptr_eq(&kept.lattice, lattice)) {
            return Ok(kept.value.clone());
        }
        let value = Arc::new(make()?);
        *slot = Some(Arc::new(Kept { lattice: lattice.clone(), value: value.clone() }));
        Ok(value)
    }
}
