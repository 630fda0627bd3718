//! What a run may tell of its surroundings: variables and words of command lines, without what looks
//! like a secret.

use std::collections::BTreeMap;

/// What stands in place of a secret.
const WITHHELD: &str = "(withheld)";

/// Parts of names whose values are nobody's business.
const SECRET: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "COOKIE",
    "BEARER",
];

/// Variables that change how network libraries and Genie behave begin so.
const TELLING: &[&str] = &[
    "GENIE_", "NCCL_", "RCCL_", "UCX_", "FI_", "IBV_", "RDMAV_", "MLX5_", "MLX4_", "OMP_", "GOMP_", "OMPI_",
];

/// Variables by which schedulers and launchers name a job and its place.
const SCHEDULER: &[&str] = &[
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_NODELIST",
    "SLURM_NNODES",
    "SLURM_NTASKS",
    "SLURM_CLUSTER_NAME",
    "SLURM_STEP_ID",
    "SLURM_ARRAY_TASK_ID",
    "PBS_JOBID",
    "PBS_JOBNAME",
    "PBS_QUEUE",
    "LSB_JOBID",
    "LSB_JOBNAME",
    "LSB_QUEUE",
    "FLUX_JOB_ID",
    "JOB_ID",
    "OAR_JOB_ID",
    "COBALT_JOBID",
    "KUBERNETES_SERVICE_HOST",
    "POD_NAME",
    "POD_NAMESPACE",
    "NODE_NAME",
    "GITHUB_RUN_ID",
    "GITHUB_WORKFLOW",
    "GITHUB_SHA",
    "CI_JOB_ID",
    "CI_PIPELINE_ID",
    "BUILD_NUMBER",
];

/// Whether the value of something so called is withheld.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase().replace('-', "_");
    SECRET.iter().any(|part| name.contains(part))
}

/// The variables that change how things behave.
pub fn telling(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let of_interest = |name: &str| TELLING.iter().any(|prefix| name.starts_with(prefix));
    let kept = variables.filter(|(name, _)| of_interest(name));
    kept.map(|(name, value)| {
        let value = if is_secret(&name) {
            WITHHELD.into()
        } else {
            without_user(&value)
        };
        (name, value)
    })
    .collect()
}

/// What the scheduler calls the job.
pub fn scheduler(variables: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    variables
        .filter(|(name, _)| SCHEDULER.contains(&name.as_str()))
        .collect()
}

/// Words of a command line: values of `name=value` and words after `--name` are withheld where the name
/// says that they are secret.
pub fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut secret_follows = false;
    for word in words {
        let told = match word.split_once('=') {
            _ if secret_follows => WITHHELD.to_owned(),
            Some((name, _)) if is_secret(name) => format!("{name}={WITHHELD}"),
            _ => without_user(word),
        };
        secret_follows = word.starts_with('-') && !word.contains('=') && is_secret(word);
        kept.push(told);
    }
    kept.join(" ")
}

/// `scheme://user:password@host` without user and password (RFC 3986, section 3.2.1).
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{WITHHELD}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_withheld_wherever_they_stand() {
        let line = "genie run x.toml --set a=1 --api-token abc root=/dev/sda LUKS_PASSWORD=hunter2 http://me:pw@proxy:1/x@y";
        let told = words(line.split(' '));
        assert_eq!(
            told,
            "genie run x.toml --set a=1 --api-token (withheld) root=/dev/sda LUKS_PASSWORD=(withheld) \
             http://(withheld)@proxy:1/x@y"
        );
        let variables = [
            ("NCCL_DEBUG", "INFO"),
            ("NCCL_AUTH_TOKEN", "abc"),
            ("UCX_PROXY", "tcp://u:p@h"),
            ("HOME", "/root"),
            ("SLURM_JOB_ID", "17"),
        ];
        let variables = || {
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        };
        let told: Vec<_> = telling(variables()).into_iter().collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(!format!("{told:?}").contains("abc") && !format!("{told:?}").contains("u:p"));
        assert_eq!(scheduler(variables())["SLURM_JOB_ID"], "17");
        assert!(is_secret("aws-secret-access-key") && !is_secret("NCCL_IB_TC"));
    }
}
