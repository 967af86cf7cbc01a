//! The table of storages: which group on which scalar, and the only match on them.

use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::group::{self, MAX_COLORS};
use crate::lattice::Lattice;
use crate::number::{Isa, Real};
use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
use crate::number::{F64x4Avx2, F64x8Avx512};

/// Declares the enum, the conversions into it and the macro that runs one expression for whichever variant is there.
macro_rules! variants {
    ($dollar:tt $($(#[$attribute:meta])* $variant:ident($real:ty, $n:literal),)*) => {
        /// A gauge field whose group and storage are known at run time.
        #[derive(Debug, Clone)]
        pub enum AnyGauge {
            $($(#[$attribute])* #[doc = "One storage of one group."] $variant(GaugeField<$real, $n>),)*
        }

        $($(#[$attribute])* impl From<GaugeField<$real, $n>> for AnyGauge {
            fn from(field: GaugeField<$real, $n>) -> Self {
                Self::$variant(field)
            }
        })*

        /// Evaluates an expression with `$field` bound to the typed field inside an `AnyGauge`.
        macro_rules! with_gauge {
            ($dollar any:expr, $dollar field:ident => $dollar body:expr) => {
                match $dollar any {
                    $($(#[$attribute])* $crate::any::AnyGauge::$variant($dollar field) => $dollar body,)*
                }
            };
        }
        pub(crate) use with_gauge;

        impl AnyGauge {
            pub(super) fn build(n_colors: usize, isa: Isa, extents: &[usize], make: impl Make) -> Result<Self> {
                check_colors(n_colors)?;
                let rows = [$($(#[$attribute])* (<$real as Storage>::ISA, $n, <$real as Real>::LANES)),*];
                let fits = |&(row, n, lanes): &(Isa, usize, usize)| {
                    (row, n) == (isa, n_colors) && Lattice::cut(extents, lanes).is_some()
                };
                let isa = if rows.iter().any(fits) { isa } else { Isa::Scalar };
                $($(#[$attribute])* if <$real as Storage>::ISA == isa && n_colors == $n {
                    let lattice = Lattice::new(extents, <$real as Real>::LANES)?;
                    return Ok(make.make::<$real, $n>(lattice)?.into());
                })*
                Err(Error::value(format!("no storage for {}", group::name(n_colors))))
            }
        }
    };
}

/// Kernels that only some groups have, the heaviest ones. Loops, heatbath, HMC, smearing, flow, stout networks and files exist for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Attention layers.
    Attention,
    /// Equivariant convolutional networks.
    Lcnn,
    /// Derivatives of forces, by dual numbers.
    ForceNorm,
    /// Field transformations.
    Transformation,
}

impl Capability {
    /// Largest N of the groups that have it.
    const fn most_colors(self) -> usize {
        match self {
            Self::Attention | Self::Lcnn | Self::ForceNorm => 4,
            Self::Transformation => crate::map::MAX_TRANSFORMED,
        }
    }

    /// Whether SU(N) has it: to be asked in a `const` block, so that what it guards is not even compiled.
    pub const fn of(self, n_colors: usize) -> bool {
        n_colors <= self.most_colors()
    }

    /// What was given, which groups can, what to do.
    pub fn missing(self, n_colors: usize) -> Error {
        let (what, instead) = match self {
            Self::Attention => ("attention layers", "or StoutLayer, which every group has"),
            Self::Lcnn => ("equivariant convolutional networks (LCNN)", "or a CovariantNet of stout layers"),
            Self::ForceNorm => ("the loss ForceNorm", "or the losses ActionDifference and FieldDistance"),
            Self::Transformation => ("field transformations", "or HMC without one"),
        };
        let (given, last) = (group::name(n_colors), group::name(self.most_colors()));
        Error::value(format!(
            "a field of {given}; {what} exist for U(1) and SU(2) to {last}: use one of these, {instead}"
        ))
    }
}

/// Which instruction set a scalar type stands for.
trait Storage {
    const ISA: Isa;
}

impl Storage for f64 {
    const ISA: Isa = Isa::Scalar;
}

#[cfg(target_arch = "x86_64")]
impl Storage for F64x4Avx2 {
    const ISA: Isa = Isa::Avx2;
}

#[cfg(target_arch = "x86_64")]
impl Storage for F64x8Avx512 {
    const ISA: Isa = Isa::Avx512;
}

variants! { $
    U1(f64, 1),
    Su2(f64, 2),
    Su3(f64, 3),
    #[cfg(not(plaq_small))]
    Su4(f64, 4),
    #[cfg(not(plaq_small))]
    Su5(f64, 5),
    #[cfg(not(plaq_small))]
    Su6(f64, 6),
    #[cfg(not(plaq_small))]
    Su7(f64, 7),
    #[cfg(not(plaq_small))]
    Su8(f64, 8),
    #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
    U1Avx2(F64x4Avx2, 1),
    #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
    Su2Avx2(F64x4Avx2, 2),
    #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
    Su3Avx2(F64x4Avx2, 3),
    #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
    Su4Avx2(F64x4Avx2, 4),
    #[cfg(target_arch = "x86_64")]
    U1Avx512(F64x8Avx512, 1),
    #[cfg(target_arch = "x86_64")]
    Su2Avx512(F64x8Avx512, 2),
    #[cfg(target_arch = "x86_64")]
    Su3Avx512(F64x8Avx512, 3),
    #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
    Su4Avx512(F64x8Avx512, 4),
}

/// A constructor that works for every storage.
pub(super) trait Make {
    fn make<R: Real, const N: usize>(&self, lattice: Arc<Lattice>) -> Result<GaugeField<R, N>>;
}

pub(super) fn check_colors(n_colors: usize) -> Result<()> {
    if (1..=MAX_COLORS).contains(&n_colors) {
        return Ok(());
    }
    Err(Error::value(format!("{n_colors} colours; allowed are 1 (U(1)) and 2 to {MAX_COLORS} (SU(N))")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::any::compile::{Described, stack};
    use crate::any::spec::{ActionSpec, LayerSpec, LcnnSpec, StackSpec, parse};

    fn layers(json: &str) -> Result<StackSpec> {
        Ok(StackSpec { layers: vec![parse::<LayerSpec>(json)?], recompute: false })
    }

    const STOUT: &str = r#"{"kind": "stout", "terms": [["plaquette", 255]]}"#;
    const ATTENTION: &str = r#"{"kind": "attention", "terms": [["plaquette", 255]], "reach": 1}"#;
    const NETWORK: &str = r#"{"ndim": 2, "layers": [{"kind": "loops", "plaquettes": true, "polyakov": []},
        {"kind": "trace"}, {"kind": "mean"}]}"#;

    /// Whether each capability is there: what is compiled for SU(N), without a field.
    fn found<const N: usize>() -> Result<[bool; 3]> {
        let lattice = Lattice::new(&[4, 4], 1)?;
        assert!(stack::<f64, N>(&layers(STOUT)?, &lattice).is_ok(), "stout layers exist for every group");
        let network = parse::<LcnnSpec>(NETWORK)?;
        let readout = ActionSpec::Readout { network, theta: Vec::new(), coefficient: 1.0, channel: 0 };
        let attention = stack::<f64, N>(&layers(ATTENTION)?, &lattice).err();
        let action = GaugeField::<f64, N>::action(&readout, &lattice).err();
        for (error, capability) in [(&attention, Capability::Attention), (&action, Capability::Lcnn)] {
            let text = error.as_ref().map(ToString::to_string);
            assert_eq!(text, (!capability.of(N)).then(|| capability.missing(N).to_string()));
        }
        Ok([attention.is_none(), action.is_none(), Capability::ForceNorm.of(N)])
    }

    #[test]
    fn what_a_group_lacks_is_named() -> Result<()> {
        assert_eq!([found::<1>()?, found::<3>()?, found::<4>()?], [[true; 3]; 3]);
        assert_eq!([found::<5>()?, found::<8>()?], [[false; 3]; 2]);
        for (capability, last) in [
            (Capability::Attention, "SU(4)"),
            (Capability::Lcnn, "SU(4)"),
            (Capability::ForceNorm, "SU(4)"),
            (Capability::Transformation, "SU(3)"),
        ] {
            let text = capability.missing(6).to_string();
            assert!(text.contains("SU(6)") && text.contains(&format!("U(1) and SU(2) to {last}")), "{text}");
        }
        Ok(())
    }

    /// Through the doors of fields whose group is known at run time only.
    #[cfg(not(plaq_small))]
    #[test]
    fn fields_of_large_groups_are_refused_at_the_door() -> Result<()> {
        use crate::any::spec::TransformSpec;
        use crate::any::{AnyAction, AnyNetwork, AnyTransformation, compile::lcnn, regression::predict};
        let field = Arc::new(AnyGauge::hot(&[4, 4], 6, 1)?);
        let fields = std::slice::from_ref(&field);
        let refused = |text: String, capability: Capability| assert_eq!(text, capability.missing(6).to_string());
        let attention = AnyNetwork::new(layers(ATTENTION)?).forward(&field, &[0.1; 3]);
        refused(attention.unwrap_err().to_string(), Capability::Attention);
        let outputs = predict(&lcnn(&parse(NETWORK)?)?, &[], fields);
        refused(outputs.unwrap_err().to_string(), Capability::Lcnn);
        let wilson = AnyAction::new(parse(r#"{"kind": "loops", "terms": [[1.0, "plaquette"]]}"#)?);
        let network = AnyNetwork::new(layers(STOUT)?);
        refused(
            network.force_norm(fields, &[0.1], &wilson, &[None], 2).unwrap_err().to_string(),
            Capability::ForceNorm,
        );
        let masked = AnyTransformation::new(TransformSpec { layers: Vec::new(), recompute: false });
        refused(masked.forward(&field, &[]).unwrap_err().to_string(), Capability::Transformation);
        assert!(network.action(fields, &[0.1], &wilson).is_ok());
        Ok(())
    }
}
