//! Exponentials, projections and the Haar measure of U(1) and SU(N).

use crate::group;
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Real;
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand_distr::StandardNormal;

fn random_algebra<const N: usize>(seed: u64, site: u32) -> Algebra<f64, N> {
    let mut rng = Stream::new(seed, Purpose::Noise, 0).site(site);
    Algebra::from_normals(&std::array::from_fn(|_| std::array::from_fn(|_| rng.sample::<f64, _>(StandardNormal))))
}

#[test]
fn exponential_lies_in_the_group_and_solves_its_equation() {
    fn law<const N: usize>() {
        for (site, size) in [1e-9, 1e-3, 0.1, 1.0, 7.0, 300.0].into_iter().enumerate() {
            let a = random_algebra::<N>(3, site as u32).scale(size);
            let e = group::exp(&a);
            assert!(group::unitarity_violation(&e).max_lane() < 3e-14 * size.max(1.0), "N={N} size {size}");
            // exp(a) = exp(a/2)^2 and d/ds exp((1 + s) a) = a exp(a)
            let half = group::exp(&a.scale(0.5));
            let difference = half.mul(&half).add(&e.scale(-1.0)).norm2().sqrt();
            assert!(difference < 1e-13 * size.max(1.0), "N={N} size {size}: {difference:e}");
            let (_, derivative) = group::exp_differential(&a, &a);
            let error = derivative.add_scaled(-1.0, &a);
            assert!(error.inner(&error).sqrt() < 1e-12 * size * size.max(1.0), "N={N} size {size}");
        }
    }
    every_group!(law);
}

#[test]
fn differential_of_exp_against_finite_differences_and_its_adjoint() {
    fn law<const N: usize>() {
        for size in [0.0, 1e-5, 0.5, 2.0] {
            let (a, x, y) = (random_algebra::<N>(4, 0).scale(size), random_algebra(4, 1), random_algebra(4, 2));
            let (e, jx) = group::exp_differential(&a, &x);
            let h = 1e-5;
            let (plus, minus) = (group::exp(&a.add_scaled(h, &x)), group::exp(&a.add_scaled(-h, &x)));
            let slope = plus.add(&minus.scale(-1.0)).scale(0.5 / h).mul_adjoint(&e).algebra_part();
            let error = slope.add_scaled(-1.0, &jx);
            assert!(error.inner(&error).sqrt() < 1e-8, "N={N} size {size}");
            let (_, jy) = group::exp_differential(&a.scale(-1.0), &y);
            assert!((jx.inner(&y) - x.inner(&jy)).abs() < 1e-12, "adjoint, N={N} size {size}");
        }
    }
    every_group!(law);
}

#[test]
fn exponential_is_regular_at_degenerate_eigenvalues() {
    for eigenvalues in [[1.0, 1.0, -2.0], [0.0, 0.0, 0.0], [1.0, -1.0, 0.0], [1.0 + 1e-9, 1.0 - 1e-9, -2.0]] {
        let mut a = Algebra::<f64, 3>::zero();
        for i in 0..3 {
            a.0[i][i] = eigenvalues[i];
        }
        let e = group::exp(&a);
        for i in 0..3 {
            let (sin, cos) = eigenvalues[i].sin_cos();
            assert!((e.0[i][i].re - cos).abs() < 1e-15 && (e.0[i][i].im - sin).abs() < 1e-15);
        }
    }
}

#[test]
fn projection_returns_to_the_group() {
    fn law<const N: usize>() {
        let mut rng = Stream::new(9, Purpose::Noise, 0).site(0);
        let u = group::haar::<N>(&mut rng);
        assert!(group::unitarity_violation(&u).max_lane() < 1e-13);
        let noise = Matrix::from_fn(|_, _| {
            Complex::new(rng.sample::<f64, _>(StandardNormal), rng.sample::<f64, _>(StandardNormal))
        });
        let projected = group::project(&u.add(&noise.scale(0.3))).0;
        assert!(group::unitarity_violation(&projected).max_lane() < 1e-12, "N={N}");
        let again = group::project(&projected).0.add(&projected.scale(-1.0)).norm2().sqrt();
        assert!(again < 1e-12, "idempotent, N={N}: {again:e}");
        let restored = group::reunitarize(&u.add(&noise.scale(1e-6)));
        assert!(
            group::unitarity_violation(&restored).max_lane() < 1e-11,
            "N={N} {:e}",
            group::unitarity_violation(&restored).max_lane()
        );
        let exact = group::reunitarize(&u.add(&noise.scale(1e-9))).add(&u.scale(-1.0)).norm2().sqrt();
        assert!(exact < 1e-8);
    }
    every_group!(law);
}

/// <|tr U|^2> = 1 for U(1) and SU(N >= 3) Haar matrices, <(tr U)^2> = 1 for SU(2), and <U> = 0.
#[test]
fn haar_measure_has_the_exact_moments() {
    fn law<const N: usize>() {
        let stream = Stream::new(21, Purpose::Start, 0);
        let n = 20_000;
        let (mut second, mut fourth, mut first) = (0.0, 0.0, 0.0);
        for site in 0..n {
            let trace = group::haar::<N>(&mut stream.site(site)).trace();
            let t = trace.norm2();
            (first, second, fourth) = (first + trace.re, second + t, fourth + t * t);
        }
        let n = f64::from(n);
        let error = ((fourth / n - (second / n).powi(2)) / n).sqrt();
        assert!((second / n - 1.0).abs() < 4.0 * error.max(1e-12), "N={N}: {} +- {error}", second / n);
        assert!(first.abs() / n < 4.0 / n.sqrt());
    }
    every_group!(law);
}
