//! An action in new variables: S(F(v)) - log det F'(v) (Luescher, arXiv 0907.5491), its force in one forward and one reverse pass.

use crate::concept::{Action, Auxiliary, Bijection, Configuration, Drawn, Effort, Number, Tangent};
use crate::error::Result;
use crate::random::Draws;
use std::sync::Arc;

/// S(F(v)) - log det F'(v).
pub struct Transformed<Q> {
    /// S.
    pub action: Arc<dyn Action<Q>>,
    /// F.
    pub map: Arc<dyn Bijection<Q>>,
    /// Its parameters.
    pub theta: Arc<[f64]>,
}

impl<Q: Configuration> Action<Q> for Transformed<Q> {
    fn auxiliaries(&self) -> usize {
        self.action.auxiliaries()
    }

    fn draw(&self, v: &Q, draws: Draws, effort: &mut Effort) -> Result<Drawn<Q>> {
        let drawn = match self.auxiliaries() {
            0 => return Ok(Drawn { fields: Vec::new(), value: None }),
            _ => self.action.draw(&self.map.forward(&self.theta, v)?, draws, effort)?,
        };
        Ok(Drawn { value: None, ..drawn })
    }

    fn value(&self, v: &Q, phi: &[Auxiliary<Q>], effort: &mut Effort) -> Result<Number<Q>> {
        let (u, log_det, _) = self.map.record_log_det(&self.theta, v)?;
        Ok(self.action.value(&u, phi, effort)? - log_det)
    }

    fn kick(&self, v: &Q, phi: &[Auxiliary<Q>], step: f64, p: &mut Q::Tangent, effort: &mut Effort) -> Result<()> {
        let (u, tape) = self.map.record(&self.theta, v)?;
        let mut above = u.zero();
        self.action.kick(&u, phi, -1.0, &mut above, effort)?;
        p.axpy(-step, &self.map.pullback_log_det(&self.theta, v, &tape, &above, -1.0, None)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::{InverseInfo, Map, Tape, check_force, check_log_det, value};
    use crate::lattice::Lattice;
    use crate::number::{Dual, Real};
    use crate::sampler::{Hmc, Integrator, Level};
    use crate::scalar::{ScalarAction, ScalarField, ScalarTangent};

    type Field<R> = ScalarField<R>;

    /// phi(x) = v(x) + theta v(x)^3, site by site.
    struct Cubic;

    fn each<R: Real>(q: &Field<R>, f: impl Fn(R) -> R) -> Field<R> {
        let mut image = q.clone();
        image.values_mut().iter_mut().for_each(|x| *x = f(*x));
        image
    }

    fn slope<R: Real>(theta: f64, x: R) -> R {
        R::splat(3.0 * theta) * x * x + R::one()
    }

    impl<R: Real> Map<Field<R>> for Cubic {
        fn n_parameters(&self) -> usize {
            1
        }
        fn forward(&self, theta: &[f64], q: &Field<R>) -> Result<Field<R>> {
            Ok(each(q, |x| x + R::splat(theta[0]) * x * x * x))
        }
        fn record(&self, theta: &[f64], q: &Field<R>) -> Result<(Field<R>, Tape)> {
            Ok((self.forward(theta, q)?, Tape::new(())))
        }
        fn pullback(
            &self,
            theta: &[f64],
            q: &Field<R>,
            tape: &Tape,
            cotangent: &ScalarTangent<R>,
            gradient: Option<&mut [R::Total]>,
        ) -> Result<ScalarTangent<R>> {
            self.pullback_log_det(theta, q, tape, cotangent, 0.0, gradient)
        }
    }

    impl<R: Real> Bijection<Field<R>> for Cubic {
        fn record_log_det(&self, theta: &[f64], q: &Field<R>) -> Result<(Field<R>, R::Total, Tape)> {
            let logs = q.values().iter().map(|&x| slope(theta[0], x).ln().total());
            let log_det = logs.fold(R::Total::zero(), |sum, x| sum + x);
            Ok((self.forward(theta, q)?, log_det, Tape::new(())))
        }
        fn pullback_log_det(
            &self,
            theta: &[f64],
            q: &Field<R>,
            _tape: &Tape,
            cotangent: &ScalarTangent<R>,
            weight: f64,
            _gradient: Option<&mut [R::Total]>,
        ) -> Result<ScalarTangent<R>> {
            let mut below = cotangent.clone();
            for (f, &x) in below.values.iter_mut().zip(q.values()) {
                let d = slope(theta[0], x);
                *f = *f * d + R::splat(6.0 * weight * theta[0]) * x / d;
            }
            Ok(below)
        }
        fn inverse(&self, theta: &[f64], image: &Field<R>) -> Result<(Field<R>, InverseInfo)> {
            let (mut q, target) = (image.clone(), self);
            for _ in 0..60 {
                let there = target.forward(theta, &q)?;
                for ((x, y), goal) in q.values_mut().iter_mut().zip(there.values()).zip(image.values()) {
                    *x -= (*y - *goal) / slope(theta[0], *x);
                }
            }
            Ok((q, InverseInfo { iterations: 60, residual: 0.0 }))
        }
    }

    fn transformed<R: Real>(lattice: &Arc<Lattice>) -> Transformed<Field<R>> {
        let action = Arc::new(ScalarAction::new(lattice, 0.9, 0.2));
        Transformed { action, map: Arc::new(Cubic), theta: [0.3].into() }
    }

    #[test]
    fn forces_of_action_and_log_det_are_derivatives() {
        let lattice = Lattice::new(&[3, 4], 1).unwrap();
        let v = Field::<f64>::from_sites(lattice.clone(), 2, |x, c| 0.3 * (x as f64 - 5.0) * (c as f64 - 0.4));
        let delta = v.noise(Draws::new(4, 0));
        let moved = |x: usize, c: usize| Dual::new(v.values()[2 * x + c], delta.values[2 * x + c]);
        let mut dual = Field::<Dual<f64>>::from_sites(lattice.clone(), 2, |_, _| 0.0);
        dual.values_mut().iter_mut().enumerate().for_each(|(n, x)| *x = moved(n / 2, n % 2));
        let slope = value(&transformed::<Dual<f64>>(&lattice), &dual).unwrap().eps;
        assert!(check_force(&transformed(&lattice), &v, &delta, slope).unwrap() < 1e-12);
        let slope = Cubic.record_log_det(&[0.3], &dual).unwrap().1.eps;
        let difference = |a: &Field<f64>, b: &Field<f64>| {
            a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let [force, round_trip] = check_log_det::<Field<f64>>(&Cubic, &[0.3], &v, difference, (&delta, slope)).unwrap();
        assert!(force < 1e-12 && round_trip < 1e-12, "{force:e} {round_trip:e}");
    }

    /// In new variables HMC samples the same distribution: <phi^2> of one site pair against quadrature.
    #[test]
    fn hmc_in_new_variables_is_exact() {
        let lattice = Lattice::new(&[2], 1).unwrap();
        let level = Level { terms: vec![0], integrator: Integrator::named("leapfrog").unwrap(), steps: 3 };
        let hmc: Hmc<Field<f64>> = Hmc::plain(Arc::new(transformed(&lattice)), level, 1.2);
        let mut v = Field::from_sites(lattice, 1, |x, _| 0.2 * x as f64);
        let mut bins = Vec::new();
        for bin in 0..200 {
            let mut sum = 0.0;
            for sweep in 0..200 {
                v = hmc.step(&v, Draws::new(6, bin * 200 + sweep)).unwrap().0;
                sum += Cubic.forward(&[0.3], &v).unwrap().values().iter().map(|x| x * x).sum::<f64>() / 400.0;
            }
            bins.push(sum);
        }
        let mean = bins.iter().sum::<f64>() / 200.0;
        let error = (bins.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (200.0 * 199.0)).sqrt();
        let (mut sum, mut norm) = (0.0, 0.0);
        for n in -150..=150 {
            for m in -150..=150 {
                let (a, b) = (f64::from(n) * 0.03, f64::from(m) * 0.03);
                let potential = |x: f64| 0.45 * x * x + 0.2 * x.powi(4);
                let w = (-(a - b).powi(2) - potential(a) - potential(b)).exp();
                (sum, norm) = (sum + w * a * a, norm + w);
            }
        }
        let exact = sum / norm;
        assert!((mean - exact).abs() < 4.0 * error && error < 0.01 * exact, "{mean} +- {error}, exact {exact}");
    }
}
