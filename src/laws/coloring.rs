//! Colourings against the staples themselves: what they are for.

use crate::action::LoopAction;
use crate::gauge::GaugeField;
use crate::group;
use crate::lattice::path;
use crate::lattice::{Coloring, Lattice, MAX_DIMENSIONS};
use crate::matrix::Matrix;
use crate::random::{Purpose, Stream};

type Field = GaugeField<f64, 1>;

/// The sum of staples of every link of direction `mu`.
fn staples(action: &LoopAction, field: &Field, mu: usize) -> Vec<Matrix<f64, 1>> {
    let program = &action.staples()[mu];
    let mut slots = program.scratch();
    let mut at = |vector| {
        program.run(field.links(), &mut slots, vector);
        slots[0]
    };
    (0..field.lattice().vectors()).map(&mut at).collect()
}

/// All links of one colour are drawn anew: none of them may stand in the staples of another.
#[test]
fn links_of_a_colour_are_not_in_each_others_staples() {
    let mut checked = 0;
    for extents in [&[4, 4, 4, 4][..], &[3, 5], &[4, 6, 3], &[8, 8], &[2, 2], &[5, 4, 4], &[2, 4, 6]] {
        let lattice = Lattice::new(extents, 1).unwrap();
        let field = Field::hot(lattice.clone(), 3);
        for name in ["plaquette", "rectangle", "chair", "polyakov"] {
            let Ok(loops) = path::family(name, extents) else { continue };
            let action = LoopAction::new(&lattice, loops.clone());
            for mu in 0..extents.len() {
                let conflicts = path::conflicts(&loops, mu, extents);
                if conflicts.contains(&[0; MAX_DIMENSIONS]) {
                    continue;
                }
                let (before, mut colours) = (staples(&action, &field, mu), vec![0; lattice.volume()]);
                for masks in Coloring::new(&lattice, &conflicts).masks {
                    let sites = || (0..lattice.volume()).filter(|&x| masks[x] != 0);
                    let (mut changed, stream) = (field.clone(), Stream::new(4, Purpose::Start, 0));
                    for x in sites() {
                        changed.links_mut()[x * extents.len() + mu] = group::haar(&mut stream.site(x as u32));
                        colours[x] += 1;
                    }
                    let after = staples(&action, &changed, mu);
                    for x in sites() {
                        let off = after[x].add(&before[x].scale(-1.0)).norm2();
                        assert!(off == 0.0, "{extents:?} {name} direction {mu}: site {x} sees its own colour");
                    }
                    checked += 1;
                }
                assert!(colours.iter().all(|&n| n == 1), "{extents:?} {name}: every link has one colour");
            }
        }
    }
    assert!(checked > 50);
}
