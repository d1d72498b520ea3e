//! What keeps an agent from its work, as its heartbeats tell it: the cluster does not answer, or says no.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleetcast_kubernetes::brief;

/// After how long without an answer a cluster is said not to answer.
const SLOW: Duration = Duration::from_secs(3);

/// What went wrong last, until something goes well; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// What it is; none where all is well.
    pub fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Asks the cluster something that it must answer for the agent to work, and remembers how that went.
    pub(crate) async fn watch_over<T>(
        &self,
        asked: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        let mut asked = pin!(asked);
        let answer = tokio::select! {
            answer = asked.as_mut() => answer,
            () = tokio::time::sleep(SLOW) => {
                self.set(Some("the API server does not answer".to_owned()));
                asked.await
            }
        };
        self.set(answer.as_ref().err().map(|error| {
            format!(
                "the API server does not do what is needed: {}",
                brief(error)
            )
        }));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_begins_with_silence_and_ends_with_an_answer() {
        let trouble = Trouble::default();
        let told = trouble.clone();
        let (answer, question) = tokio::sync::oneshot::channel::<()>();
        let asked = tokio::spawn(async move {
            let asked = async move {
                let _ = question.await;
                Ok(())
            };
            trouble.watch_over(asked).await.is_ok()
        });
        tokio::time::sleep(SLOW / 2).await;
        assert_eq!(told.get(), None, "it may still answer");
        tokio::time::sleep(SLOW).await;
        assert!(
            told.get()
                .is_some_and(|why| why.contains("does not answer"))
        );
        answer.send(()).expect("it waits");
        assert!(asked.await.expect("it ends"));
        assert_eq!(told.get(), None);
    }
}
