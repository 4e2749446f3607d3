//! Random small worlds: what holds in every world holds in them, and a world that runs twice does the same twice.

use super::invariants::check;
use super::small::small;
use super::{Stage, Told};
use dryscale::monitoring::promql::{Query, Value};
use dryscale::monitoring::series::Retention;
use dryscale::monitoring::{Keep, wal};
use dryscale::scenario::Scenario;
use dryscale::simulation::record::Controller;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_invariant_holds_and_the_same_world_does_the_same_whatever_it_forgets(world in small()) {
        let stage = Stage::new(&world.experiment(), &world.trace());
        let told = stage.run_with(world.seed, |_| ());
        check(&told, &world.terms());
        let told = format!("{told:?}");
        prop_assert_eq!(&told, &format!("{:?}", stage.run_with(world.seed, |_| ())));
        // No query looks back further than samples are kept, or at a series that is not kept.
        let remembering = stage.run_with(world.seed, |setup| {
            setup.monitoring.retention = Retention::All;
            setup.monitoring.keep = Keep::All;
            setup.monitoring.exporters = setup.monitoring.all_exporters.clone();
        });
        prop_assert_eq!(&told, &format!("{remembering:?}"));
        let (recorded, series) = stage.run_recorded(world.seed);
        prop_assert_eq!(told, format!("{recorded:?}"));
        asked_again(&stage.scenario, &recorded, &series);
    }
}

/// That every value which KEDA read from Prometheus is answered again by the series that were recorded.
fn asked_again(scenario: &Scenario, told: &Told, series: &wal::Recorded) {
    let triggers = scenario.policy.scaled_object().map_or(&[][..], |spec| &spec.triggers);
    for (index, trigger) in triggers.iter().enumerate() {
        let text = &trigger.metadata["query"];
        let mut query = Query::compile(text, scenario.monitoring.query_options()).expect("it ran");
        for controller in [Controller::KedaPoll, Controller::HpaSync] {
            for (at, value) in told.readings(controller, index) {
                let instant = scenario.start.at(at).whole_second();
                match query.evaluate(&series.database, instant, at) {
                    Ok(Value::Vector(elements)) if elements.is_empty() => {
                        assert_eq!(value, 0.0, "{text} at {at}")
                    }
                    Ok(Value::Vector(elements)) => assert_eq!(elements[0].1, value, "{text} at {at}"),
                    other => panic!("{text} at {at}: {other:?}, not {value}"),
                }
            }
        }
    }
}
